// Dark or light: as the system has it, or as somebody chose.
const KEY = "hb.theme";
const ORDER = ["system", "light", "dark"];
const listeners = new Set();

/** What was chosen. */
export function chosen() {
  try { return ORDER.includes(localStorage.getItem(KEY)) ? localStorage.getItem(KEY) : "system"; } catch { return "system"; }
}

/** Puts it in force. */
export function apply() {
  const theme = chosen();
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  cache = null;
  for (const told of listeners) told();
}

/** Goes on to the next one. */
export function next() {
  const theme = ORDER[(ORDER.indexOf(chosen()) + 1) % ORDER.length];
  try { localStorage.setItem(KEY, theme); } catch { document.documentElement.dataset.theme = theme; }
  apply();
  return theme;
}

/** Tells when pictures are to be drawn anew. */
export function on_theme(told) {
  listeners.add(told);
  return () => listeners.delete(told);
}

let cache = null;
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { cache = null; for (const told of listeners) told(); });

/** The colours that canvases draw with. */
export function colours() {
  if (cache) return cache;
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  cache = Object.fromEntries(["bg", "card", "sunk", "fg", "muted", "line", "edge", "accent", "ink", "pass", "drift", "fail", "nobase", "nodata",
    "pass-fill", "drift-fill", "fail-fill", "nobase-fill", "nodata-fill", "on-pass", "on-drift", "on-fail", "on-nobase", "on-nodata", "band-outer", "band-inner"].map((name) => [name, of(name)]));
  return cache;
}

/** Whether nothing is to move by itself. */
export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
