// What happened, filtered, and followed as it happens.
import { acknowledge, button, sign } from "../actions.js";
import { ask } from "../api.js";
import { h, later, memo, text } from "../dom.js";
import { clock, count, many } from "../format.js";
import { List } from "../list.js";
import { note, to } from "../router.js";
import { of_severity } from "../sign.js";
import { state } from "../store.js";

const ROW = 44;
const LEVELS = ["INFO", "WARNING", "ERROR", "CRITICAL"];

/** Shows the view. */
export function show(main, _parts, asked) {
  const view = { severity: asked.get("severity") ?? "", kind: asked.get("kind") ?? "", agent: asked.get("agent") ?? "", words: "", follow: true, older: [], end: false, open: null };
  const field = (name, placeholder) => h("input", { type: "search", placeholder, "aria-label": placeholder, value: view[name], "data-k": name, oninput: (event) => { view[name] = event.target.value.trim(); if (name !== "words") { note({ [name]: view[name] }); view.older = []; view.end = false; more(); } draw(); } });
  const severity = h("select", { "aria-label": "How bad", "data-k": "severity", onchange: () => { view.severity = severity.value; note({ severity: view.severity }); view.older = []; view.end = false; more(); draw(); } }, [["", "any severity"], ["WARNING", "warnings and worse"], ["ERROR", "errors and worse"], ["CRITICAL", "critical"]].map(([value, label]) => h("option", { value, selected: value === view.severity }, label)));
  const follow = h("input", { type: "checkbox", checked: true, id: "follow", onchange: () => { view.follow = follow.checked; view.held = follow.checked ? null : state.events[0]?.id ?? 0; draw(); } });
  const told = h("span.quiet", { role: "status" });
  const detail = h("div");
  const list = new List({ height: ROW, label: "Events", make: make_row, fill: (row, event) => fill_row(row, event, choose), enter: (event) => choose(event),
    head: h("div.event-head", { role: "row" }, ["when", "how bad", "kind", "what", "who"].map((word) => h("span", { role: "columnheader" }, word))) });
  list.shown = (first, last) => { if (last >= list.items.length - 5) more(); };
  const head = h("div.page-head", h("h1", "Events"));
  const gate = h("div");
  const box = h("section.box", { "aria-label": "Events" }, h("div.tools", field("words", "Filter words"), field("kind", "Kind, such as agent.*"), field("agent", "Agent"), severity, h("label.check", follow, " Follow"), told), detail, list.el, h("p.empty", { hidden: true }, "No event matches."));
  main.replaceChildren(head, gate, box);

  const more = later(150, async () => {
    if (view.loading || view.end || state.supervised !== "ready") return;
    view.loading = true;
    const known = [...matching(view), ...view.older];
    const oldest = view.older[view.older.length - 1]?.id ?? state.events[state.events.length - 1]?.id;
    const query = new URLSearchParams({ limit: "200" });
    if (oldest !== undefined) query.set("after", oldest);
    for (const name of ["severity", "kind", "agent"]) if (view[name]) query.set(name, view[name]);
    try {
      const found = await ask(`/api/v1/events?${query}`);
      view.older.push(...found.items.filter((event) => !known.some((one) => one.id === event.id)));
      if (found.next === undefined) view.end = true;
      view.fault = "";
    } catch (fault) { view.fault = fault.message; view.end = true; }
    view.loading = false;
    draw();
  });

  function choose(event) {
    view.open = view.open?.id === event.id ? null : event;
    draw();
  }

  function draw() {
    const usable = state.supervised === "ready";
    box.hidden = !usable;
    memo(gate, [state.supervised, state.trouble], () => (usable ? [] : state.supervised === "locked" ? [h("div.empty-box", h("p", "Events are shown to those who sign in."), button("Sign in", sign))] : state.supervised === "none" ? [h("p.empty-box", "This node only watches: what it decides stands in its cycles. Events are those of a supervisor.")] : [h("p.loading", h("span.pulse"), state.trouble || "Taking the events …")]));
    if (!usable) return;
    const found = [...matching(view), ...view.older.filter((event) => fits(view, event))];
    list.set(found);
    list.el.hidden = !found.length;
    box.querySelector(".empty").hidden = found.length > 0;
    const fresh = view.follow ? 0 : state.events.filter((event) => event.id > view.held).length;
    text(told, `${many(found.length, "event")}${view.end ? "" : " so far"}${fresh ? `, ${many(fresh, "newer one")}` : ""}${view.fault ? `: ${view.fault}` : ""}`);
    const open = view.open && (state.events.find((event) => event.id === view.open.id) ?? view.open);
    memo(detail, open ?? "", () => (open ? [one(open, () => choose(open))] : []));
  }
  return { draw, end: () => list.end(), moved: (_, next) => { if ((next.get("agent") ?? "") !== view.agent) { view.agent = next.get("agent") ?? ""; main.querySelector("[data-k=agent]").value = view.agent; view.older = []; view.end = false; more(); draw(); } } };
}

function fits(view, event) {
  if (view.severity && LEVELS.indexOf(event.severity) < LEVELS.indexOf(view.severity)) return false;
  if (view.kind) { const star = view.kind.endsWith("*"); if (star ? !event.kind.startsWith(view.kind.slice(0, -1)) : event.kind !== view.kind) return false; }
  if (view.agent && event.about?.agent !== view.agent) return false;
  return !view.words || `${event.message} ${event.kind} ${event.by} ${Object.values(event.about ?? {}).join(" ")}`.toLowerCase().includes(view.words.toLowerCase());
}

function matching(view) {
  return state.events.filter((event) => (view.follow || event.id <= view.held) && fits(view, event));
}

function make_row() {
  const row = h("div.event-row");
  row.cells = ["when", "bad", "kind", "what", "who"].map((name) => h("span", { class: `c-${name}`, role: "cell" }));
  row.append(...row.cells);
  row.addEventListener("click", () => row.choose?.());
  return row;
}

function fill_row(row, event, choose) {
  row.choose = () => choose(event);
  const print = `${event.id}|${event.acknowledged?.by ?? ""}`;
  if (row.print === print) return;
  row.print = print;
  const [when, bad, kind, what, who] = row.cells;
  text(when, clock(event.at));
  bad.replaceChildren(of_severity(event.severity));
  text(kind, event.kind);
  what.replaceChildren(event.about?.agent ? h("strong", `${event.about.agent} `) : "", event.message, event.acknowledged ? h("span.chip", "noted") : "");
  text(who, event.by);
}

function one(event, close) {
  const about = Object.entries(event.about ?? {});
  const way = { agent: (id) => to(["agent", id]), intervention: (id) => to(["intervention", id]), policy: (id) => to(["policy", id]) };
  return h("div.closer-box", { role: "region", "aria-label": `Event ${event.id}` },
    h("div.cycle-head", h("h3", `Event ${count(event.id)} `, of_severity(event.severity)), h("span.buttons.left", event.acknowledged ? null : button("Take note …", () => acknowledge(event), { k: "note" }), h("button.small", { type: "button", "data-k": "x", onclick: close }, "Close"))),
    h("p", event.message),
    h("dl.facts", [["kind", event.kind], ["when", clock(event.at)], ["by", event.by], ...about.map(([word, id]) => [word, way[word] ? h("a", { href: way[word](id) }, id) : id]), event.acknowledged ? ["noted by", `${event.acknowledged.by}, ${clock(event.acknowledged.at)}`] : null].filter(Boolean).map(([word, value]) => h("div", h("dt", word), h("dd", value)))),
    event.details && Object.keys(event.details).length ? h("pre", { tabindex: "0" }, JSON.stringify(event.details, null, 1)) : null);
}
