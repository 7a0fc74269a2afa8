// The command box: suggests commands, completes them, sends.

import { act, alarm, query } from "./api.js";

const box = document.querySelector("#command");
const list = document.querySelector("#options");
const hint = document.querySelector("#hint");
const LEAD = `${document.body.dataset.lead} `;
const SHOWN = 8;
const IDLE = "Type / for commands · Tab completes · ↑ brings back what you typed last";
let commands = [];
let active = -1;
let shown = [];
const typedBefore = [];
let back = 0;

// What this person may type; the first suggestions of an empty channel follow it.
export async function learn() {
  const answer = await (await fetch(`/page/commands?${query()}`)).json();
  commands = answer.commands;
  for (const row of document.querySelectorAll("#welcome li")) {
    const text = row.querySelector("[data-fill]").dataset.fill;
    row.hidden = commands.length > 0 && !commands.some(({ name }) => `${text} `.startsWith(`${LEAD}${name} `));
  }
  if (answer.problem) hint.textContent = `No suggestions: ${answer.problem}`;
  // The app names its commands a moment after it has started; whoever is typing already gets them then.
  else if (!commands.length) setTimeout(learn, 1000);
  else if (document.activeElement === box && box.value) suggest();
}

function matching(text) {
  const asked = text.toLowerCase().slice(LEAD.length);
  if (!LEAD.startsWith(text.toLowerCase()) && !text.toLowerCase().startsWith(LEAD)) return [];
  const rank = ({ name }) => (name.startsWith(asked) ? 0 : name.split(" ").some((word) => word.startsWith(asked)) ? 1 : 2);
  return commands.filter((command) => rank(command) < 2).sort((a, b) => rank(a) - rank(b)).slice(0, SHOWN);
}

const complete = ({ name }) => box.value.toLowerCase().startsWith(`${LEAD}${name} `);

function option(command, index) {
  const row = document.createElement("li");
  row.id = `option-${index}`;
  row.role = "option";
  row.setAttribute("aria-selected", String(index === active));
  const name = document.createElement("b");
  name.textContent = LEAD + command.name;
  const summary = document.createElement("span");
  summary.textContent = command.summary;
  row.append(name, summary);
  row.addEventListener("mousedown", (event) => {
    event.preventDefault();
    choose(command);
  });
  return row;
}

function paint() {
  list.replaceChildren(...shown.map(option));
  list.hidden = shown.length === 0;
  box.setAttribute("aria-expanded", String(shown.length > 0));
  if (active >= 0 && shown.length) box.setAttribute("aria-activedescendant", `option-${active}`);
  else box.removeAttribute("aria-activedescendant");
  list.children[active]?.scrollIntoView({ block: "nearest" });
}

function close() {
  shown = [];
  active = -1;
  paint();
}

function choose(command) {
  box.value = `${LEAD}${command.name} `;
  close();
  explain();
  box.focus();
}

// Below the box: the usage of the command being typed.
function explain() {
  const known = commands.filter(complete).sort((a, b) => b.name.length - a.name.length)[0];
  if (!known) {
    hint.textContent = IDLE;
    return;
  }
  const usage = document.createElement("code");
  usage.textContent = known.usage || LEAD + known.name;
  hint.replaceChildren(usage, known.example ? `  e.g. ${known.example}` : "");
}

function suggest() {
  const text = box.value;
  shown = text.startsWith("/") && !commands.some(complete) ? matching(text) : [];
  active = -1;
  paint();
  explain();
}

async function send() {
  const text = box.value.trim();
  if (!text) return;
  box.value = "";
  close();
  explain();
  typedBefore.push(text);
  back = typedBefore.length;
  try {
    await act(text.startsWith("/") ? "command" : "say", { text });
  } catch (problem) {
    alarm(problem);
    box.value = text;
  }
}

function recall(step) {
  back = Math.min(Math.max(back + step, 0), typedBefore.length);
  box.value = typedBefore[back] ?? "";
}

const keys = {
  ArrowDown: () => (shown.length ? ((active = (active + 1) % shown.length), paint(), true) : back < typedBefore.length && (recall(1), true)),
  ArrowUp: () => (shown.length ? ((active = (active <= 0 ? shown.length : active) - 1), paint(), true) : typedBefore.length > 0 && (recall(-1), true)),
  Tab: (event) => shown.length > 0 && !event.shiftKey && (choose(shown[Math.max(active, 0)]), true),
  Escape: () => shown.length > 0 && (close(), true),
  Enter: () => active >= 0 && (choose(shown[active]), true),
};

async function upload(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let binary = "";
  for (let at = 0; at < bytes.length; at += 32768) binary += String.fromCharCode(...bytes.subarray(at, at + 32768));
  await act("upload", { filename: file.name, title: file.name, text: box.value.startsWith("/") ? "" : box.value.trim(), data: btoa(binary) });
  if (!box.value.startsWith("/")) box.value = "";
}

export function fill(text) {
  box.value = text;
  box.focus();
  explain();
}

export function greet(person, place) {
  box.placeholder = `/mlops …  in ${place} as ${person}`;
}

box.addEventListener("keydown", (event) => keys[event.key]?.(event) && event.preventDefault());
box.addEventListener("input", suggest);
box.addEventListener("focus", learn);
box.addEventListener("blur", close);
document.querySelector("#composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
document.querySelector("#file").addEventListener("change", async (event) => {
  const clip = event.target.closest(".clip");
  clip.setAttribute("aria-busy", "true");
  try {
    for (const file of event.target.files) await upload(file);
  } catch (problem) {
    alarm(problem);
  }
  event.target.value = "";
  clip.removeAttribute("aria-busy");
});
hint.textContent = IDLE;
learn().catch(alarm);
