// Puts the page together: the line to the node, the bar at the top, and the view of where the page stands.
import { sign } from "./actions.js";
import { h, memo, text } from "./dom.js";
import { arrived, follows, found, lost, note, others, set_follows } from "./failover.js";
import { clock, duration, tick } from "./format.js";
import { help, listen } from "./keys.js";
import { place } from "./router.js";
import { on_session, token } from "./session.js";
import { icon, kind, of_role, rank } from "./sign.js";
import { active_node, address_of, on, state, take_watch, touch } from "./store.js";
import { Stream } from "./stream.js";
import { take, take_all } from "./supervised.js";
import { apply, chosen, next } from "./theme.js";
import * as agent from "./views/agent.js";
import * as events from "./views/events.js";
import * as health from "./views/health.js";
import * as intervention from "./views/intervention.js";
import * as overview from "./views/overview.js";
import * as policy from "./views/policy.js";
import * as supervisor from "./views/supervisor.js";
import * as watch from "./views/watch.js";

const VIEWS = { "": overview, watch, watches: overview, supervisors: supervisor, agent, intervention, policy, events, health };
const NAV = [["", "Overview"], ["supervisors", "Supervisor"], ["events", "Events"], ["health", "Health"]];
const GROUP = { watch: "", watches: "", agent: "supervisors", intervention: "supervisors", policy: "supervisors" };
/** After so long without a word what is shown is called old. */
const STALE_MS = 7000;

const main = document.getElementById("main");
const alert = document.getElementById("alert");
let shown = null;

apply();
listen();

const stream = new Stream(heard, linked);
on_session(() => stream.again());
const came = arrived();

function heard(event, data) {
  state.heard_at = Date.now();
  if (event === "hello") {
    state.hello = data;
    if (!data.resumed || state.supervised === "locked") take_all();
  } else if (event === "picture") {
    state.watches.clear();
    for (const one of data.watches) take_watch(one);
    if (data.node) take_node(data.node);
    touch("watches", "node");
  } else if (event === "node") take_node(data);
  else if (event === "watch") take_watch(data);
  else if (event === "unwatch") { state.watches.delete(data.name); touch("watches"); }
  else if (event === "event") take(data);
  else if (event === "agent") { state.agents.set(data.id, data); touch("agents", `agent:${data.id}`); }
  else if (event === "agentgone") { state.agents.delete(data.id); touch("agents"); }
  else if (event === "stale") take_all();
}

function take_node(node) {
  state.node = node;
  note(node);
  touch("node");
}

function linked(link, why) {
  if (link === "live") {
    state.heard_at = Date.now();
    if (state.link !== "live" && state.link !== "moving") { state.link = "live"; found(); touch("link"); }
    return;
  }
  if (state.link === "moving") return;
  if (link === "refused") { state.link = "refused"; state.why = why; touch("link"); return; }
  if (state.link !== "lost") { state.lost_at = Date.now(); state.link = "lost"; }
  state.why = why;
  lost();
  touch("link");
}

function route() {
  const { parts, asked } = place();
  const name = parts[0] ?? "";
  const view = VIEWS[name];
  const address = location.hash.split("?")[0];
  if (shown?.view === view && shown.address === address) return shown.moved?.(parts.slice(1), asked);
  shown?.end?.();
  if (!view) {
    main.replaceChildren(h("div.empty-box", h("h1", "There is no such page"), h("p", h("a", { href: "#/" }, "To the overview"))));
    shown = { view: null, address };
    return undefined;
  }
  const before = shown;
  shown = { view, address, ...view.show(main, parts.slice(1), asked) };
  if (before) { scrollTo(0, 0); main.focus({ preventScroll: true }); }
  draw_nav();
  draw(new Set(["all"]));
  return undefined;
}

function draw(what) {
  // Nothing is known before the first picture: the view waits for it.
  if (state.node) shown?.draw?.(what);
  if (what.has("all") || what.has("node") || what.has("link")) { draw_who(); }
  draw_nav();
  draw_alert();
  title();
}

function draw_nav() {
  const at = place().parts[0] ?? "";
  const group = GROUP[at] ?? at;
  const supervised = state.hello?.supervises !== false;
  const failing = state.node?.checks.filter((check) => !check.ok).length ?? 0;
  const waits = [...state.interventions.values()].filter((one) => one.status === "PENDING" && one.approval_reasons?.length).length;
  memo(document.getElementById("nav"), [group, supervised, failing, waits], () => NAV.filter(([name]) => supervised || !["supervisors", "events"].includes(name)).map(([name, label]) => {
    const marks = name === "health" ? failing : name === "supervisors" ? waits : 0;
    return h("a", { href: `#/${name}`, "aria-current": name === group ? "page" : null }, label, marks ? h("span.count", { title: name === "health" ? "checks that fail" : "wait for a person" }, marks, h("span.hidden", name === "health" ? " checks fail" : " wait")) : null);
  }));
}

function draw_who() {
  const node = state.node;
  const words = state.link === "live" ? "live" : state.link === "moving" ? "moving" : state.link === "connecting" ? "connecting" : "not live";
  memo(document.getElementById("who"), [node?.node, node?.role, node?.epoch, state.link, Boolean(token()), chosen(), state.hello?.looks], () => [
    h("span.link", { class: `l-${state.link}`, title: "Whether what you see is of now" }, h("span.dot", { "aria-hidden": "true" }), words),
    node ? h("span.node", h("strong", node.node ?? "hb"), " ", of_role(node.role), h("span.quiet", ` epoch ${node.epoch}`)) : null,
    h("button.small", { type: "button", "data-k": "sign", onclick: sign }, token() ? "Signed in" : "Sign in"),
    h("button.small.square", { type: "button", "data-k": "theme", "aria-label": `Colours: ${chosen()}. Change`, title: `Colours: ${chosen()}`, onclick: () => { next(); draw_who(); } }, { system: "◐", light: "☀", dark: "☾" }[chosen()]),
    h("button.small.square", { type: "button", "data-k": "keys", "aria-label": "Keys", title: "Keys", onclick: help }, "?"),
  ]);
}

function draw_alert() {
  const old = state.link === "live" && state.heard_at && Date.now() - state.heard_at > STALE_MS;
  const name = state.node?.node ?? "This node";
  if (state.link === "moving") return banner("moving", [h("strong", `${name} is active no more. `), `Going to ${state.moving_to} …`]);
  if (state.link === "refused") return banner("lost", [h("strong", "This node does not let the page follow it. "), state.why, " ", h("button", { type: "button", "data-k": "sign-2", onclick: sign }, "Sign in")]);
  if (state.link === "lost") {
    const long = Date.now() - state.lost_at;
    if (long < 700) return undefined;
    const links = others().map((one) => [h("a", { href: `${one.place}/${location.hash}` }, one.node), " "]);
    return banner("lost", [h("strong", `${name} does not answer. `), h("span.age", `What you see is ${duration(Math.round((Date.now() - state.heard_at) / 1000))} old. `), links.length ? ["Looking for the node that goes on: ", links] : "Trying again …", " ", h("button", { type: "button", "data-k": "now", onclick: () => stream.now() }, "Try now")]);
  }
  if (old) return banner("old", [h("strong", "Nothing has been heard of late. "), `What you see is ${duration(Math.round((Date.now() - state.heard_at) / 1000))} old.`]);
  document.body.classList.remove("is-lost");
  memo(alert, "", () => []);
  alert.className = "";
  return undefined;
}

function banner(tone, words) {
  document.body.classList.toggle("is-lost", tone !== "moving");
  const flat = words.flat(3).map((one) => (one instanceof Node ? one.textContent : one)).join("");
  memo(alert, flat, () => words.flat(3));
  alert.className = tone;
}

function title() {
  const node = state.node;
  const worst = [...state.watches.values()].sort((a, b) => rank(b.status) - rank(a.status))[0];
  const what = !node ? "…" : state.link === "lost" ? "NOT LIVE" : !node.alive ? "HUNG" : worst ? worst.status?.replaceAll("_", " ") ?? "no cycle yet" : node.role;
  const wanted = `${what}${worst && rank(worst.status) > 1 ? ` ${worst.name}` : ""} · ${node?.node ?? "hb"}`;
  if (document.title !== wanted) document.title = wanted;
}

/** What a node that is not the active one means for what is shown; whence the page came. */
function standing() {
  const node = state.node;
  if (!node) return;
  let el = document.getElementById("standing");
  if (!el) { el = h("div", { id: "standing" }); main.before(el); }
  const active = active_node();
  const elsewhere = active && active.node !== node.node ? { node: active.node, place: address_of(active) } : node.supervisor?.elsewhere ? { node: node.supervisor.elsewhere.node, place: node.supervisor.elsewhere.address } : null;
  const at = place();
  memo(el, [node.role, node.node, elsewhere, came?.seen, follows(), location.hash], () => [
    came && !came.seen ? h("p.arrived", icon("moving", "pass"), h("span", h("strong", `You are at ${node.node} now. `), came.why === "lost" ? `${came.from} stopped answering, and ${node.node} goes on.` : `${came.from} handed over.`), h("button.small", { type: "button", "data-k": "seen", onclick: () => { came.seen = true; standing(); } }, "Good")) : null,
    node.role === "active" || (!state.watches.size && node.supervisor?.presence.state !== "standby") ? null : h("p.standing", { class: `r-${node.role}` }, of_role(node.role), h("span", ROLES[node.role] ?? ""),
      elsewhere ? h("span", " ", h("strong", elsewhere.node), " is active. ", elsewhere.place ? h("a.button", { href: `${elsewhere.place}/#/${at.parts.map(encodeURIComponent).join("/")}` }, `Go to ${elsewhere.node}`) : null) : null,
      h("label.check", h("input", { type: "checkbox", checked: follows(), "data-k": "follows", onchange: (event) => set_follows(event.target.checked) }), " Follow the active node from now on")),
  ]);
}

const ROLES = {
  standby: "This node stands by: it shows what it reads along in the journal, a moment behind, and goes on when the active node ends.",
  taking_over: "This node is taking over: it opens its epoch and decides from the next cycle on.",
  draining: "This node is stopping of its own will.",
  fenced: "Another node has taken over. This one decides nothing any more and should be restarted.",
};

on((what) => {
  if (what.has("node") || what.has("link")) standing();
  draw(what);
});
addEventListener("hashchange", () => { route(); standing(); });
addEventListener("online", () => stream.now());
document.addEventListener("visibilitychange", () => { if (!document.hidden) stream.now(); });
setInterval(() => { tick(); draw_alert(); }, 1000);
for (const skip of document.querySelectorAll(".skip")) skip.addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
route();
draw_who();
stream.start();
// For those who look after the page itself.
Object.assign(globalThis, { hb: { state, kind, clock, text } });
