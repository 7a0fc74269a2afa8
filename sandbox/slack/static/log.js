// The message list: puts messages in their place, groups them, keeps the reader where they are.

import { children, morph, parse } from "./morph.js";
import { dayWords, writeTimes } from "./times.js";

const flow = document.querySelector("#flow");
const log = document.querySelector("#log");
const toEnd = document.querySelector("#to-end");
const GROUP_SECONDS = 300;
const NEAR_END = 80;

const atEnd = () => flow.scrollHeight - flow.scrollTop - flow.clientHeight < NEAR_END;
const articles = () => [...log.children].filter((child) => child.matches("article"));

export function scrollToEnd() {
  flow.scrollTop = flow.scrollHeight;
  toEnd.hidden = true;
}

function keepingPlace(change, { mine = false, fresh = false } = {}) {
  const follow = atEnd() || mine;
  change();
  if (follow) scrollToEnd();
  else if (fresh) toEnd.hidden = false;
}

const group = ({ dataset, classList }) => [dataset.author, classList.contains("private"), classList.contains("echo")].join();

// Marks messages that continue the one before them, and writes a line where a new day begins.
function regroup() {
  let before = null;
  for (const day of log.querySelectorAll(".day")) day.remove();
  for (const article of articles()) {
    const words = dayWords(article.dataset.ts);
    if (!before || dayWords(before.dataset.ts) !== words) {
      const line = document.createElement("div");
      line.className = "day";
      line.textContent = words;
      log.insertBefore(line, article);
      before = null;
    }
    const close = before && article.dataset.ts - before.dataset.ts < GROUP_SECONDS;
    article.classList.toggle("follows", Boolean(close && !article.classList.contains("card") && group(before) === group(article)));
    before = article;
  }
  document.querySelector("#welcome").hidden = before !== null;
}

export function showAll(html) {
  log.setAttribute("aria-busy", "true");
  const wanted = document.createElement("div");
  wanted.append(parse(html));
  for (const day of log.querySelectorAll(".day")) day.remove();
  for (const article of articles()) article.classList.remove("follows");
  writeTimes(wanted);
  keepingPlace(() => {
    children(log, wanted);
    regroup();
  });
  log.removeAttribute("aria-busy");
}

export function showOne({ ts, html, of }, me) {
  const wanted = parse(html).firstElementChild;
  writeTimes(wanted);
  const shown = document.getElementById(`m-${ts}`);
  if (shown) {
    if (shown.classList.contains("follows")) wanted.classList.add("follows");
    if (shown.classList.contains("selected")) wanted.classList.add("selected");
    keepingPlace(() => morph(shown, wanted));
    return;
  }
  const after = articles().find((article) => article.dataset.ts > ts) ?? null;
  keepingPlace(() => {
    log.insertBefore(wanted, after);
    regroup();
  }, { mine: wanted.dataset.author === me, fresh: of === "posted" });
}

export function remove(ts) {
  document.getElementById(`m-${ts}`)?.remove();
  regroup();
}

flow.addEventListener("scroll", () => atEnd() && (toEnd.hidden = true), { passive: true });
toEnd.addEventListener("click", scrollToEnd);
log.addEventListener("load", (event) => event.target.matches("img") && atEnd() && scrollToEnd(), true);
