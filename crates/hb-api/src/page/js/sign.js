// Status signs: each has a shape and a letter beside its colour.
import { h, s } from "./dom.js";

/** Of cycles, by their letter, the best first. */
export const LETTERS = {
  P: { word: "PASS", say: "pass", kind: "pass", height: 0.42 },
  B: { word: "NO_BASELINE", say: "no baseline", kind: "nobase", height: 0.26 },
  D: { word: "PASS_WITH_DRIFT", say: "drift", kind: "drift", height: 0.68 },
  N: { word: "NO_DATA", say: "no data", kind: "nodata", height: 1 },
  F: { word: "FAIL", say: "fail", kind: "fail", height: 1 },
};

const BY_WORD = Object.fromEntries(Object.entries(LETTERS).map(([letter, one]) => [one.word, letter]));

/** The letter of a status. */
export const letter = (status) => BY_WORD[status] ?? "?";
/** The name of its colours. */
export const kind = (status) => LETTERS[letter(status)]?.kind ?? "none";
/** How bad a status is, 0 for one that is well. */
export const rank = (status) => ({ PASS: 0, NO_BASELINE: 1, PASS_WITH_DRIFT: 2, NO_DATA: 3, FAIL: 4 })[status] ?? 1;

const SHAPES = {
  pass: () => [s("circle", { cx: 8, cy: 8, r: 7 }), s("path", { class: "cut", d: "M4.6 8.3l2.4 2.4 4.4-5" })],
  drift: () => [s("path", { d: "M8 .8l7.4 13.4H.6z" }), s("path", { class: "cut", d: "M8 5.6v4.2M8 12v.2" })],
  fail: () => [s("path", { d: "M5 .8h6l4.2 4.2v6L11 15.2H5L.8 11V5z" }), s("path", { class: "cut", d: "M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2" })],
  nodata: () => [s("circle", { class: "hollow", cx: 8, cy: 8, r: 6 }), s("path", { class: "stroke", d: "M4 12L12 4" })],
  nobase: () => [s("path", { class: "hollow", d: "M8 1.6L14.4 8 8 14.4 1.6 8z" }), s("circle", { cx: 8, cy: 8, r: 1.6 })],
  none: () => [s("circle", { class: "hollow", cx: 8, cy: 8, r: 6, "stroke-dasharray": "2.4 2.4" })],
  active: () => [s("circle", { cx: 8, cy: 8, r: 6.6 })],
  standby: () => [s("circle", { class: "hollow", cx: 8, cy: 8, r: 6 }), s("path", { d: "M8 2a6 6 0 000 12z" })],
  down: () => [s("path", { class: "stroke", d: "M3 3l10 10M13 3L3 13" })],
  moving: () => [s("path", { class: "stroke", d: "M2 8h10M8.4 4l4 4-4 4" })],
  paused: () => [s("path", { d: "M3.5 2.5h3v11h-3zM9.5 2.5h3v11h-3z" })],
  wait: () => [s("circle", { class: "hollow", cx: 8, cy: 8, r: 6 }), s("path", { class: "stroke", d: "M8 4.4V8l2.6 1.8" })],
  quarantined: () => [s("rect", { class: "hollow", x: 2, y: 2, width: 12, height: 12, rx: 1 }), s("path", { class: "stroke", d: "M5.4 2v12M10.6 2v12" })],
  person: () => [s("circle", { cx: 8, cy: 5, r: 3.1 }), s("path", { d: "M2 15c0-3.4 2.6-5.4 6-5.4s6 2 6 5.4z" })],
};

/** A sign alone. */
export function icon(shape, tone = shape) {
  return s("svg", { class: `icon t-${tone}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, ...(SHAPES[shape] ?? SHAPES.none)());
}

/** A sign with its word. */
export function sign(shape, tone, word) {
  return h("span.sign", { class: `t-${tone}` }, icon(shape, tone), h("span", word));
}

/** Of a cycle's status. */
export function of_status(status) {
  if (!status) return sign("none", "nodata", "no cycle yet");
  return sign(kind(status), kind(status), status.replaceAll("_", " "));
}

const ROLES = {
  active: ["active", "pass", "active"],
  standby: ["standby", "nobase", "standby"],
  taking_over: ["moving", "drift", "taking over"],
  draining: ["moving", "drift", "draining"],
  fenced: ["down", "fail", "fenced"],
  down: ["down", "fail", "down"],
};

/** Of a node's role. */
export function of_role(role) {
  const [shape, tone, word] = ROLES[role] ?? ["none", "nodata", role ?? "unknown"];
  return sign(shape, tone, word);
}

/** Tone and shape of an agent: the worst of where it stands and how it is. */
export function agent_tone(agent) {
  const { status, health_status: health, wanted } = agent;
  if (status === "QUARANTINED") return ["quarantined", "fail"];
  if (status === "FAILED" || health === "unresponsive" || (health === "down" && wanted === "up")) return ["fail", "fail"];
  if (status === "DEGRADED" || health === "degraded" || health === "stale") return ["drift", "drift"];
  if (status === "SPAWNING" || health === "unknown") return ["wait", "nobase"];
  if (status === "TERMINATED" || health === "down") return ["nodata", "nodata"];
  return ["pass", "pass"];
}

/** How much an agent needs somebody: 0 most. */
export function agent_rank(agent) {
  return { fail: 0, drift: 1, nobase: 2, pass: 3, nodata: 4 }[agent_tone(agent)[1]];
}

/** Of an agent. */
export function of_agent(agent) {
  const [shape, tone] = agent_tone(agent);
  return sign(shape, tone, `${plain(agent.status)}${agent.health_status && agent.health_status !== plain(agent.status) ? ` · ${agent.health_status}` : ""}`);
}

const plain = (word) => String(word ?? "").toLowerCase().replaceAll("_", " ");

/** Of a severity of events and alerts. */
export function of_severity(severity) {
  const tone = { INFO: "nodata", WARNING: "drift", ERROR: "fail", CRITICAL: "fail" }[severity] ?? "nodata";
  const shape = { INFO: "active", WARNING: "drift", ERROR: "fail", CRITICAL: "fail" }[severity] ?? "none";
  return sign(shape, tone, plain(severity));
}

/** Of an intervention. */
export function of_intervention(status) {
  const [shape, tone] = {
    PENDING: ["person", "drift"], APPROVED: ["wait", "nobase"], EXECUTING: ["moving", "nobase"], COMPLETED: ["pass", "pass"],
    FAILED: ["fail", "fail"], IN_DOUBT: ["drift", "drift"], REJECTED: ["nodata", "nodata"], ROLLED_BACK: ["nodata", "nodata"],
  }[status] ?? ["none", "nodata"];
  return sign(shape, tone, plain(status));
}

/** Of a supervisor. */
export function of_supervisor(one) {
  const status = one.wanted === "PAUSED" ? "PAUSED" : one.status;
  const [shape, tone] = {
    ACTIVE: ["pass", "pass"], PAUSED: ["paused", "drift"], FAILED: ["fail", "fail"], SPAWNING: ["wait", "nobase"], TERMINATED: ["nodata", "nodata"],
  }[status] ?? ["none", "nodata"];
  return sign(shape, tone, plain(status));
}

/** What the shapes mean. */
export function legend() {
  return h("div.legend", Object.entries(LETTERS).map(([mark, one]) => h("span.sign", { class: `t-${one.kind}` }, icon(one.kind), h("span", `${mark} ${one.say}`))));
}
