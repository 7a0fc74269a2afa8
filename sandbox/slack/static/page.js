// The page: who is looking at what, live updates, and everything one can click.

import { act, alarm, fragment, here, query } from "./api.js";
import { fill, greet, learn } from "./composer.js";
import { confirmed, enlarge, showForm } from "./dialogs.js";
import { remove, scrollToEnd, showAll, showOne } from "./log.js";
import { children, parse } from "./morph.js";
import { writeTimes } from "./times.js";

const nav = document.querySelector("#nav");
const inspector = document.querySelector("#inspector");
const toggle = document.querySelector("#show-inspector");
let stream = null;
let selected = "";

// Runs `work` at most once every `wait` milliseconds, the last time included.
function calmly(work, wait) {
  let timer = null;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      work().catch(alarm);
    }, wait);
  };
}

async function put(holder, name, more) {
  const wanted = document.createElement("div");
  wanted.append(parse(await fragment(name, more)));
  children(holder, wanted);
}

async function drawNav() {
  await put(nav, "nav");
  const place = nav.querySelector(`[data-channel="${here.channel}"]`);
  const person = nav.querySelector(`[data-user="${here.user}"]`);
  if (atHome()) {
    place.removeAttribute("aria-current");
    nav.querySelector("[data-home]").setAttribute("aria-current", "page");
    document.querySelector("#where").textContent = "Home";
    document.querySelector("#purpose").textContent = "what is yours, kept up to date";
    return;
  }
  document.querySelector("#where").textContent = place.dataset.name;
  document.querySelector("#purpose").textContent = place.dataset.purpose;
  document.title = `${place.dataset.name} · ${nav.querySelector("h1").textContent}`;
  greet(person.dataset.display, place.dataset.name);
}

const drawInspector = () => put(inspector, "inspector", { message: selected });
const navSoon = calmly(drawNav, 60);
const inspectorSoon = calmly(async () => document.body.classList.contains("no-inspector") || drawInspector(), 150);

// The Home stands where the messages are; which of the two is shown is the page's business alone.
const home = document.querySelector("#home");
const atHome = () => !home.hidden;
const drawHome = async () => {
  await put(home, "home");
  writeTimes(home);
};

async function goHome() {
  document.body.classList.remove("nav-open");
  document.body.classList.add("at-home");
  home.hidden = false;
  await act("home");
  await Promise.all([drawHome(), drawNav()]);
  home.focus();
}

function leaveHome() {
  document.body.classList.remove("at-home");
  home.hidden = true;
}

const told = {
  hello: async () => {
    showAll(await fragment("history"));
    await Promise.all([drawNav(), drawInspector(), showForm()]);
  },
  message: (event) => showOne(event, here.user),
  deleted: (event) => remove(event.ts),
  nav: navSoon,
  inspector: inspectorSoon,
  form: showForm,
  home: async () => atHome() && drawHome(),
};

function listen() {
  stream?.close();
  stream = new EventSource(`/page/stream?${query()}`);
  stream.onmessage = async ({ data }) => {
    const event = JSON.parse(data);
    try {
      await told[event.kind](event);
    } catch (problem) {
      alarm(problem);
    }
  };
  stream.onerror = () => document.body.classList.add("offline");
  stream.onopen = () => document.body.classList.remove("offline");
}

async function go(change) {
  if (change.channel) leaveHome();
  Object.assign(here, change);
  selected = "";
  document.body.classList.remove("nav-open");
  const theirs = parse(await fragment("nav", { channel: "" }));
  if (!theirs.querySelector(`[data-channel="${here.channel}"]`)) {
    here.channel = theirs.querySelector("[data-channel]").dataset.channel;
  }
  history.replaceState(null, "", `/?${new URLSearchParams({ user: here.user, channel: here.channel })}`);
  showAll("");
  listen();
  learn().catch(alarm);
  if (atHome()) await goHome();
  else document.querySelector("#command").focus();
}

const where = (element) => element.closest("article")?.dataset.ts;

async function busy(element, work) {
  element.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (problem) {
    alarm(problem);
  }
  element.removeAttribute("aria-busy");
}

async function press(element, value) {
  if (element.getAttribute("aria-busy")) return;
  if (element.dataset.confirm && !(await confirmed(JSON.parse(element.dataset.confirm)))) return;
  const { actionId: action_id, blockId: block_id } = element.dataset;
  const menu = element.closest("details.choice-menu");
  menu?.removeAttribute("open");
  await busy(menu?.querySelector("summary") ?? element, () => act("press", { ts: where(element), action_id, block_id, value }));
}

function openThread(element) {
  const thread = element.closest("article").querySelector("details.thread");
  thread.open = true;
  thread.querySelector("form.answer input").focus();
}

function inspect(element) {
  const article = element.closest("article");
  document.querySelector("article.selected")?.classList.remove("selected");
  article.classList.add("selected");
  selected = article.dataset.ts;
  showInspector(true);
  return drawInspector();
}

function showInspector(open) {
  document.body.classList.toggle("no-inspector", !open);
  toggle.setAttribute("aria-expanded", String(open));
  localStorage.setItem("inspector", open ? "open" : "closed");
}

const clicks = {
  "[data-home]": goHome,
  "[data-global]": (element) => busy(element, () => act("shortcut", { callback_id: element.dataset.global })),
  "[data-press]": (element) => press(element, element.dataset.value),
  "nav [data-channel]": (element) => go({ channel: element.dataset.channel }),
  "nav [data-user]": (element) => go({ user: element.dataset.user }),
  "[data-fill]": (element) => fill(element.dataset.fill),
  "[data-enlarge]": (element) => enlarge(element.dataset.enlarge, element.querySelector("img").alt),
  "[data-shortcut]": (element) => busy(element, () => act("shortcut", { ts: where(element), callback_id: element.dataset.shortcut })),
  "[data-reply]": openThread,
  "[data-inspect]": inspect,
  "[data-unselect]": () => {
    document.querySelector("article.selected")?.classList.remove("selected");
    selected = "";
    return drawInspector();
  },
  "#show-inspector": () => {
    showInspector(document.body.classList.contains("no-inspector"));
    return drawInspector();
  },
  "#show-nav": () => document.body.classList.toggle("nav-open"),
  "[data-turn]": turn,
};

// Another page of a data table: the rows are all there, a page of them is shown.
function turn(button) {
  const table = button.closest(".table");
  const pages = [...table.querySelectorAll("tbody")];
  const wanted = pages.findIndex((page) => !page.hidden) + Number(button.dataset.turn);
  const counts = table.querySelectorAll(".pager span span");
  pages.forEach((page, place) => {
    page.hidden = counts[place].hidden = place !== wanted;
  });
  for (const each of table.querySelectorAll("[data-turn]")) {
    each.disabled = !pages[wanted + Number(each.dataset.turn)];
  }
}

document.addEventListener("click", (event) => {
  for (const [wanted, work] of Object.entries(clicks)) {
    const element = event.target.closest(wanted);
    if (element) {
      Promise.resolve(work(element)).catch(alarm);
      return;
    }
  }
});
// An opened menu comes into sight and closes again by Escape, by a click elsewhere, by leaving it with Tab.
const openMenu = () => document.querySelector("details.choice-menu[open]");
document.addEventListener("toggle", ({ target }) => target.matches?.("details.choice-menu[open]") && target.querySelector(".sheet").scrollIntoView({ block: "nearest" }), true);
document.addEventListener("keydown", ({ key }) => {
  const menu = key === "Escape" && openMenu();
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
for (const kind of ["pointerdown", "focusin"]) {
  document.addEventListener(kind, ({ target }) => {
    const menu = openMenu();
    if (menu && !menu.contains(target)) menu.open = false;
  });
}
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-choose]") && event.target.value) press(event.target, event.target.value);
});
document.addEventListener("submit", (event) => {
  if (!event.target.matches("form.answer")) return;
  event.preventDefault();
  const input = event.target.querySelector("input");
  const text = input.value.trim();
  if (!text) return;
  input.value = "";
  act(text.startsWith("/") ? "command" : "say", { text, thread_ts: event.target.dataset.root }).catch(alarm);
});

const remembered = localStorage.getItem("inspector");
showInspector(remembered ? remembered === "open" : window.innerWidth >= 1180);
listen();
scrollToEnd();
document.querySelector("#command").focus();
