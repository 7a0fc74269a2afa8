// Changes a tree of elements into another one in place, so that pictures do not reload, opened threads stay open
// and the focus stays where it is.

const same = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id || "") === (b.id || "");

function attributes(from, to) {
  for (const { name } of [...from.attributes]) {
    const kept = name === "open" && from.nodeName === "DETAILS";
    if (!to.hasAttribute(name) && !kept) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
}

export function morph(from, to) {
  if (from.nodeType === Node.TEXT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  if (from.nodeType !== Node.ELEMENT_NODE || from.isEqualNode(to)) return;
  attributes(from, to);
  if (from.nodeName === "TIME" && from.dataset.epoch === to.dataset.epoch && from.dataset.written) return;
  children(from, to);
}

export function children(from, to) {
  let here = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    if (here && same(here, wanted)) {
      morph(here, wanted);
      here = here.nextSibling;
    } else {
      from.insertBefore(wanted, here);
    }
  }
  while (here) {
    const next = here.nextSibling;
    here.remove();
    here = next;
  }
}

// The elements of a piece of HTML made by our own server.
export function parse(html) {
  const holder = document.createElement("template");
  holder.innerHTML = html.trim();
  return holder.content;
}
