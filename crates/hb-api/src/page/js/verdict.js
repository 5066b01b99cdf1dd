// The answer at the top: is all well, who is active, what drifted since when, and what was done about it.
import { ago, clock, duration, many, plain, without_status } from "./format.js";
import { agent_tone, rank } from "./sign.js";
import { active_node, state } from "./store.js";

const REST = ["PASS", null];

/** The whole answer: a tone, a headline, and lines that say more, each with its way there. */
export function verdict() {
  const node = state.node;
  if (!node) return { tone: "none", headline: "Asking this node how it is …", lines: [], done: [] };
  const watches = [...state.watches.values()].sort((a, b) => rank(b.status) - rank(a.status) || since(a) - since(b));
  const bad = watches.filter((watch) => watch.status === "FAIL" || watch.status === "NO_DATA" || watch.source?.state === "failed");
  const drifting = watches.filter((watch) => watch.status === "PASS_WITH_DRIFT" && !bad.includes(watch));
  const ill = [...state.agents.values()].filter((agent) => agent_tone(agent)[1] === "fail");
  const checks = node.checks.filter((check) => !check.ok);
  const waiting = [...state.interventions.values()].filter((one) => one.status === "PENDING" && one.approval_reasons?.length);
  const doubt = [...state.interventions.values()].filter((one) => one.status === "IN_DOUBT");
  const lines = [];
  if (!node.alive) lines.push({ tone: "fail", text: "The work loop hangs", more: node.hangs ?? "it makes no progress", href: "#/health" });
  if (nobody(node)) lines.push({ tone: "fail", text: "No node is active", more: node.paused ?? "nothing is decided at the moment", href: "#/health" });
  for (const watch of bad.slice(0, 3)) lines.push(of_watch(watch, watch.status === "FAIL" ? "fail" : "nodata"));
  if (bad.length > 3) lines.push({ tone: "fail", text: `${many(bad.length - 3, "more watch", "more watches")} not well`, href: "#/" });
  for (const watch of drifting.slice(0, 3)) lines.push(of_watch(watch, "drift"));
  if (drifting.length > 3) lines.push({ tone: "drift", text: `${many(drifting.length - 3, "more watch", "more watches")} drifting`, href: "#/" });
  if (ill.length) lines.push({ tone: "fail", text: many(ill.length, "agent needs somebody", "agents need somebody"), more: ill.slice(0, 3).map((agent) => `${agent.id} (${plain(agent.status)})`).join(", ") + (ill.length > 3 ? " …" : ""), href: ill.length === 1 ? `#/agent/${encodeURIComponent(ill[0].id)}` : "#/supervisors?show=ill" });
  if (waiting.length) lines.push({ tone: "drift", shape: "person", text: many(waiting.length, "intervention waits for a person", "interventions wait for a person"), more: waiting.slice(0, 2).map((one) => `${one.id}: ${plain(one.intervention_type)} ${one.target_id}`).join(", "), href: "#/supervisors?tab=interventions" });
  if (doubt.length) lines.push({ tone: "drift", text: many(doubt.length, "intervention is in doubt", "interventions are in doubt"), more: "say what they came to", href: "#/supervisors?tab=interventions" });
  if (checks.length) lines.push({ tone: "drift", text: many(checks.length, "check fails", "checks fail"), more: `${checks[0].name}: ${checks[0].what}`, href: "#/health" });
  if (node.paused) lines.push({ tone: "drift", shape: "paused", text: "Takeovers are paused", more: node.paused, href: "#/health" });
  return { ...headline(node, watches, bad, drifting, ill, lines), lines, active: active(node), done: done() };
}

function headline(node, watches, bad, drifting, ill, lines) {
  if (!node.alive) return { tone: "fail", word: "HUNG", headline: "This node hangs" };
  if (bad.some((watch) => watch.status === "FAIL") || ill.length || lines.some((line) => line.tone === "fail")) {
    const first = bad.find((watch) => watch.status === "FAIL") ?? bad[0];
    const words = first ? `${first.name} ${first.status === "FAIL" ? "fails" : "is not read"}${bad.length > 1 ? ` and ${bad.length - 1} more` : ""}` : lines.find((line) => line.tone === "fail")?.text ?? "Something is wrong";
    return { tone: "fail", word: first?.status === "FAIL" ? "FAIL" : "TROUBLE", headline: words, since: first?.since_utc };
  }
  if (bad.length) return { tone: "nodata", word: "NO DATA", headline: `${bad[0].name} sends nothing${bad.length > 1 ? ` and ${bad.length - 1} more` : ""}`, since: bad[0].since_utc };
  if (drifting.length) return { tone: "drift", word: "DRIFT", headline: `${drifting[0].name} drifts${drifting.length > 1 ? ` and ${drifting.length - 1} more` : ""}`, since: drifting[0].since_utc };
  if (lines.length) return { tone: "drift", word: "LOOK", headline: lines[0].text };
  if (!watches.length && !state.agents.size) return { tone: "none", word: "EMPTY", headline: "Nothing is watched or supervised yet" };
  const learning = watches.filter((watch) => !REST.includes(watch.status));
  if (learning.length && learning.length === watches.length) return { tone: "nobase", word: "LEARNING", headline: learning[0].learning_left ? `Learning what normal is: ${many(learning[0].learning_left, "more cycle", "more cycles")}` : "Nothing to compare with: no baseline is in force" };
  return { tone: "pass", word: "WELL", headline: "All is well" };
}

const since = (watch) => (watch.since_utc ? new Date(watch.since_utc).getTime() : Infinity);

function of_watch(watch, tone) {
  const driver = watch.drivers?.[0];
  const began = driver?.onset_utc ?? watch.since_utc;
  const failed = watch.source?.state === "failed";
  return {
    tone, text: watch.name, href: `#/watch/${encodeURIComponent(watch.name)}`,
    more: failed ? `its source cannot be read: ${watch.source.reason}` : driver ? `${driver.series}: ${driver.reason}` : without_status(watch.headline),
    since: began ? `since ${clock(began)} (${ago(began)})` : "",
    extra: watch.drivers_total > 1 ? `${watch.drivers_total - 1} more series` : "",
  };
}

/** Nobody works: this node stands by, and the board shows no active one. */
function nobody(node) {
  if (node.role === "active" || !node.nodes?.length || !state.watches.size) return false;
  return !node.nodes.some((one) => ["active", "taking_over"].includes(one.role));
}

function active(node) {
  const name = node.role === "active" ? node.node : active_node()?.node;
  if (!name) return null;
  const takeover = node.takeover;
  const taken = takeover && takeover.node === name ? takeover : null;
  return { node: name, here: name === node.node, epoch: taken?.epoch ?? node.epoch, since: taken?.at, takeover: taken };
}

/** What was done of late, the newest first. */
function done() {
  const day = Date.now() - 24 * 3600e3;
  const all = [...state.interventions.values()].filter((one) => new Date(one.created_at).getTime() > day);
  all.sort((a, b) => Number(b.id.split("-").pop()) - Number(a.id.split("-").pop()));
  return all.slice(0, 3);
}

/** Whether two names of time tell the same. */
export function lasted(from, to) {
  return from && to ? duration((new Date(to).getTime() - new Date(from).getTime()) / 1000) : "";
}
