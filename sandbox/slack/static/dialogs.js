// The three dialogs: a button's question, the app's form, an enlarged picture. Focus goes in and comes back.

import { act, alarm, fragment } from "./api.js";
import { children, parse } from "./morph.js";

const ask = document.querySelector("#ask");
const form = document.querySelector("#form");
const light = document.querySelector("#light");

// Resolves to whether the person agreed.
export function confirmed(question) {
  ask.querySelector("h2").textContent = question.title;
  ask.querySelector("p").textContent = question.text;
  const [no, yes] = ask.querySelectorAll(".actions button");
  no.textContent = question.no;
  yes.textContent = question.yes;
  yes.className = `button ${question.style === "danger" ? "danger solid" : "primary"}`;
  ask.returnValue = "";
  ask.showModal();
  yes.focus();
  return new Promise((done) => ask.addEventListener("close", () => done(ask.returnValue === "yes"), { once: true }));
}

export function enlarge(source, description) {
  light.querySelector("img").src = source;
  light.querySelector("img").alt = description;
  light.showModal();
}

export async function showForm() {
  const html = await fragment("form");
  if (!html) {
    if (form.open) form.close();
    return;
  }
  const wanted = document.createElement("div");
  wanted.append(parse(html));
  children(form, wanted);
  if (!form.open) form.showModal();
}

function given() {
  const values = {};
  for (const input of form.querySelectorAll("[data-action]")) {
    const block = (values[input.dataset.block] ??= {});
    if (input.type === "checkbox") (block[input.dataset.action] ??= []).push(...(input.checked ? [input.value] : []));
    else if (input.type !== "radio") block[input.dataset.action] = input.value;
    else if (input.checked) block[input.dataset.action] = input.value;
  }
  return values;
}

async function submit() {
  const button = form.querySelector(".primary");
  button?.setAttribute("aria-busy", "true");
  try {
    const { errors } = await act("submit", { values: given() });
    for (const line of form.querySelectorAll(".error")) line.textContent = errors[line.id.replace("error-", "")] ?? "";
    const wrong = Object.keys(errors)[0];
    if (wrong) form.querySelector(`[data-block="${CSS.escape(wrong)}"][data-action]`)?.focus();
  } catch (problem) {
    alarm(problem);
  }
  button?.removeAttribute("aria-busy");
}

const leave = () => act("close").catch(alarm);

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
form.addEventListener("click", (event) => event.target.closest("[data-close]") && leave());
form.addEventListener("cancel", (event) => {
  event.preventDefault();
  leave();
});
light.addEventListener("click", (event) => event.target === light && light.close());
