// Makes and updates elements. Text is always text: nothing that came from anywhere is read as markup.

/** An element: `h("p.note", {title: "x"}, "text", child)`. Handlers are given as `onclick`; `null` children are left out. */
export function h(what, props, ...kids) {
  const [tag, ...classes] = what.split(".");
  const el = document.createElement(tag || "div");
  if (classes.length) el.className = classes.join(" ");
  if (props instanceof Node || typeof props !== "object" || props === null || Array.isArray(props)) { kids.unshift(props); props = {}; }
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) el.addEventListener(key.slice(2), value);
    else if (key === "class") el.className += ` ${value}`;
    else if (key === "data") for (const [name, one] of Object.entries(value)) el.dataset[name] = one;
    else if (key in el && typeof value !== "string" && key !== "list") el[key] = value;
    else el.setAttribute(key, value === true ? "" : String(value));
  }
  add(el, kids);
  return el;
}

function add(el, kids) {
  for (const kid of kids) {
    if (kid === null || kid === undefined || kid === false) continue;
    if (Array.isArray(kid)) add(el, kid);
    else el.append(kid instanceof Node ? kid : String(kid));
  }
}

const SVG = "http://www.w3.org/2000/svg";

/** An element of a picture. */
export function s(tag, props = {}, ...kids) {
  const el = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(props)) if (value !== null && value !== undefined) el.setAttribute(key, value);
  el.append(...kids.filter((kid) => kid !== null && kid !== undefined));
  return el;
}

/** Sets text where it is another. */
export function text(el, value) {
  const wanted = value === null || value === undefined ? "" : String(value);
  if (el.textContent !== wanted) el.textContent = wanted;
}

/** Builds a part anew when what it is made of is another; whoever has the focus in it keeps it. */
export function memo(el, made_of, build) {
  const print = typeof made_of === "string" ? made_of : JSON.stringify(made_of);
  if (el.made_of === print) return;
  el.made_of = print;
  const held = el.contains(document.activeElement) ? focus_name(document.activeElement) : null;
  const built = build();
  el.replaceChildren(...(Array.isArray(built) ? built.flat(3).filter(Boolean) : built ? [built] : []));
  if (held) find(el, held)?.focus({ preventScroll: true });
}

function focus_name(el) {
  return el.dataset?.k || el.id || el.getAttribute?.("href") || null;
}

function find(el, name) {
  for (const one of el.querySelectorAll("[data-k],[id],a[href]")) if (focus_name(one) === name) return one;
  return null;
}

/** Keeps the children of an element in step with a list: `make` for what is new, `update` for all. */
export function keyed(el, items, key, make, update) {
  const old = el.keyed ?? new Map();
  const next = new Map();
  let at = el.firstChild;
  for (const item of items) {
    const name = key(item);
    let child = old.get(name);
    if (!child) child = make(item);
    old.delete(name);
    next.set(name, child);
    update?.(child, item);
    if (child === at) at = at.nextSibling;
    else el.insertBefore(child, at);
  }
  for (const gone of old.values()) gone.remove();
  while (at) { const after = at.nextSibling; if (![...next.values()].includes(at)) at.remove(); at = after; }
  el.keyed = next;
}

let wanted = null;
const tasks = new Set();

/** Does something with the next frame, once however often it is asked. */
export function frame(task) {
  tasks.add(task);
  wanted ??= (document.hidden ? (run) => setTimeout(run, 200) : requestAnimationFrame)(() => {
    wanted = null;
    const all = [...tasks];
    tasks.clear();
    for (const one of all) one();
  });
}

/** Calls no sooner than so long after the last time it was asked. */
export function later(ms, task) {
  let timer = 0;
  return (...args) => { clearTimeout(timer); timer = setTimeout(() => task(...args), ms); };
}
