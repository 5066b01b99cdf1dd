// Keys for whoever keeps their hands on the keyboard. They can be switched off, for those whose speech types letters.
import { is_open, open } from "./dialog.js";
import { h } from "./dom.js";
import { next } from "./theme.js";

const KEY = "hb.keys";
const GO = { o: "#/", w: "#/watches", s: "#/supervisors", e: "#/events", h: "#/health" };

/** Whether single letters do something. */
export function enabled() {
  try { return localStorage.getItem(KEY) !== "off"; } catch { return true; }
}

/** What the keys do. */
export function help() {
  const row = (keys, what) => h("tr", h("td", keys.map((key) => [h("kbd", key), " "])), h("td", what));
  return open("Keys", (close) => h("div",
    h("table.keys-table", h("tbody",
      row(["g", "o"], "overview"), row(["g", "s"], "supervisor"), row(["g", "e"], "events"), row(["g", "h"], "health"),
      row(["/"], "to the filter"), row(["t"], "light, dark, or as the system has it"), row(["?"], "these keys"), row(["Esc"], "leaves a dialog"),
      row(["←", "→"], "in a band of cycles: to the cycle before or after"), row(["Shift ←", "Shift →"], "ten at a time"),
      row(["Home", "End"], "to the oldest, to the newest"), row(["+", "−", "0"], "zooms in, out, all"), row(["p", "n"], "to the change of status before or after"), row(["Enter"], "the report of the cycle"))),
    h("p.field.check", h("label", { for: "keys-on" }, "Single letters do something"), h("input", { id: "keys-on", type: "checkbox", checked: enabled(), onchange: (event) => { try { localStorage.setItem(KEY, event.target.checked ? "on" : "off"); } catch { /* Nothing is kept here. */ } } })),
    h("div.buttons", h("button.primary", { type: "button", "data-first": true, onclick: () => close(null) }, "Close"))));
}

/** Listens. */
export function listen() {
  let went = 0;
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || is_open()) return;
    if (event.target.matches?.("input,textarea,select,[contenteditable]")) { if (event.key === "Escape") event.target.blur(); return; }
    if (event.key === "?") { help(); event.preventDefault(); return; }
    if (!enabled()) return;
    if (event.key === "/") {
      const filter = document.querySelector("main input[type=search]");
      if (filter) { filter.focus(); event.preventDefault(); }
    } else if (event.key === "g") went = Date.now();
    else if (Date.now() - went < 1200 && GO[event.key]) { location.hash = GO[event.key]; went = 0; }
    else if (event.key === "t") next();
  });
}
