// At a glance: the answer, the watches, the nodes, the agents by team, what is open and what was done.
import { active_place, button, intervention, pause_takeovers, resolve, sign, switchover } from "../actions.js";
import { ask, seg } from "../api.js";
import { band_words, small_band } from "../band.js";
import { h, keyed, memo, text } from "../dom.js";
import { clock, count, duration, figure, many, plain, time, without_status } from "../format.js";
import { to } from "../router.js";
import { agent_rank, agent_tone, icon, kind, legend, of_intervention, of_role, of_severity, of_status, rank } from "../sign.js";
import { address_of, state } from "../store.js";
import { on_theme } from "../theme.js";
import { timeline, took_over } from "../timeline.js";
import { verdict } from "../verdict.js";

/** Watches that are drawn as cards; more of them become a list of those that need somebody, and a map of all. */
const CARDS = 24;

/** Shows the view; gives what draws it and what ends it. */
export function show(main) {
  const parts = { verdict: h("section.verdict", { "aria-label": "How it is" }), watches: h("div.cards"), rest: h("div"), nodes: h("div"), agents: h("div"), open: h("div"), done: h("div") };
  const filter = h("input", { type: "search", placeholder: "Filter watches", "aria-label": "Filter watches", "data-k": "filter" });
  const watch_tools = h("div.tools");
  const boxes = {
    watches: box("Watches", [watch_tools, parts.watches, parts.rest]),
    nodes: box("Nodes", [parts.nodes]),
    agents: box("Agents", [parts.agents]),
    open: box("Open", [parts.open]),
    done: box("What hb did", [parts.done]),
  };
  main.replaceChildren(parts.verdict, h("div.grid", h("div.g-watches", boxes.watches), h("div.side", boxes.open, boxes.done, boxes.agents), h("div.g-nodes", boxes.nodes)));
  const view = { reigns: null, asked_for: "", filter: "" };
  filter.addEventListener("input", () => { view.filter = filter.value.trim().toLowerCase(); draw(new Set(["watches"])); });
  const off = on_theme(() => { for (const card of parts.watches.querySelectorAll(".card")) card.print = ""; draw(new Set(["all"])); });
  const size = new ResizeObserver(() => { for (const card of parts.watches.querySelectorAll(".card")) card.print = ""; draw(new Set(["watches", "node"])); });
  size.observe(parts.watches);
  function draw(what) {
    if (!state.node) return;
    const any = (...topics) => what.has("all") || topics.some((topic) => what.has(topic));
    if (any("watches", "node", "agents", "interventions", "supervised")) draw_verdict(parts.verdict);
    if (any("watches")) draw_watches(parts, watch_tools, filter, view);
    if (any("node", "watches")) { take_reigns(view, draw); draw_nodes(parts.nodes, view); }
    if (any("agents", "teams", "supervised")) draw_agents(parts.agents);
    if (any("groups", "interventions", "supervised", "node")) draw_open(parts.open);
    if (any("interventions", "supervised")) draw_done(parts.done);
    const supervised = state.hello?.supervises ?? false;
    boxes.agents.hidden = !supervised;
    boxes.done.hidden = !supervised;
    boxes.watches.hidden = supervised && !state.watches.size;
    boxes.nodes.hidden = !(state.node?.nodes?.length);
  }
  return { draw, end: () => { off(); size.disconnect(); } };
}

function box(title, kids) {
  const id = `box-${title.replaceAll(" ", "-").toLowerCase()}`;
  return h("section.box", { "aria-labelledby": id }, h("h2", { id }, title), kids);
}

function draw_verdict(el) {
  const found = verdict();
  const print = { ...found, active: found.active && { ...found.active } };
  el.className = `verdict t-${found.tone}`;
  memo(el, print, () => [
    h("div.answer", icon(found.tone === "none" ? "none" : found.tone, found.tone), h("div", h("h1", h("span.word", found.word ?? ""), " ", found.headline), found.since ? h("p.since", "since ", time(found.since)) : null)),
    found.lines.length ? h("ul.why", found.lines.map((line) => h("li", { class: `t-${line.tone}` }, icon(line.shape ?? line.tone, line.tone), h("span", h("a", { href: line.href }, line.text), line.more ? [": ", h("span", line.more)] : null, line.since ? h("span.quiet", ` ${line.since}`) : null, line.extra ? h("span.quiet", `, ${line.extra}`) : null)))) : null,
    h("dl.short",
      found.active ? h("div", h("dt", "Active"), h("dd", h("strong", found.active.node), found.active.here ? " (this node)" : "", ` epoch ${found.active.epoch}`, found.active.since ? [", since ", time(found.active.since), h("span.quiet", ` ${took_over(found.active.takeover)}`)] : null)) : null,
      h("div", h("dt", "What hb did"), h("dd", found.done.length ? found.done.map((one) => h("p", h("a", { href: to(["intervention", one.id]) }, `${plain(one.intervention_type)} ${one.target_id}`), " ", of_intervention(one.status), " ", h("span.quiet", time(one.created_at, "ago"), one.reason ? ` ${one.reason}` : ""))) : state.supervised === "locked" ? [h("span", "Sign in to see it. ")] : h("span.quiet", state.hello?.supervises ? "Nothing in the last 24 hours." : "Nothing is supervised here: it tells people.")))),
  ]);
}

function sorted() {
  return [...state.watches.values()].sort((a, b) => urgency(b) - urgency(a) || a.name.localeCompare(b.name));
}

const urgency = (watch) => Math.max(rank(watch.status), watch.source?.state === "failed" ? 3 : 0);

function draw_watches(parts, tools, filter, view) {
  const all = sorted();
  memo(tools, [all.length > 6, all.length], () => [all.length > 6 ? filter : null, h("span.quiet", many(all.length, "watch", "watches")), all.length ? legend() : null]);
  const found = view.filter ? all.filter((watch) => watch.name.toLowerCase().includes(view.filter) || (watch.headline ?? "").toLowerCase().includes(view.filter)) : all;
  keyed(parts.watches, found.slice(0, CARDS), (watch) => watch.name, make_card, fill_card);
  const rest = found.slice(CARDS);
  memo(parts.rest, rest.map((watch) => [watch.name, watch.status]), () => (rest.length ? [h("h3", `${many(rest.length, "more watch", "more watches")}`), h("ul.map", rest.map((watch) => h("li", h("a", { href: to(["watch", watch.name]), class: `t-${kind(watch.status)}`, title: `${watch.name}: ${watch.status ?? "no cycle yet"}` }, icon(kind(watch.status)), h("span", watch.name)))))] : !found.length ? [h("p.empty", all.length ? "No watch matches the filter." : "No watch is set up, or none has been read yet.")] : null));
}

function make_card(watch) {
  const card = h("article.card", { "aria-label": `Watch ${watch.name}` });
  card.parts = { head: h("div.card-head"), said: h("p.said"), canvas: h("canvas.small-band", { role: "img" }), facts: h("dl.facts") };
  card.append(card.parts.head, card.parts.said, card.parts.canvas, card.parts.facts);
  return card;
}

function fill_card(card, watch) {
  const { head, said, canvas, facts } = card.parts;
  card.className = `card t-${kind(watch.status)}`;
  memo(head, [watch.status, watch.name], () => [h("h3", h("a", { href: to(["watch", watch.name]) }, watch.name)), of_status(watch.status)]);
  const failed = watch.source?.state === "failed";
  const driver = watch.drivers?.[0];
  text(said, failed ? `Its source cannot be read: ${watch.source.reason}` : without_status(watch.headline) || "Waiting for the first cycle.");
  const print = `${watch.band_to}|${watch.band}|${canvas.clientWidth}`;
  if (card.print !== print && canvas.isConnected) { card.print = print; small_band(canvas, watch.band); canvas.setAttribute("aria-label", band_words(watch.band)); }
  else if (!canvas.isConnected) requestAnimationFrame(() => { if (canvas.isConnected) { small_band(canvas, watch.band); canvas.setAttribute("aria-label", band_words(watch.band)); card.print = print; } });
  const late = watch.lag_seconds !== null && watch.lag_seconds > 60;
  memo(facts, [watch.cycle, watch.since_utc, watch.lag_seconds && duration(watch.lag_seconds), watch.baseline, watch.learning_left, watch.undelivered, watch.late, watch.dropped, driver?.onset, watch.source?.state, watch.node], () => [
    fact("cycle", watch.cycle === null ? "–" : count(watch.cycle)),
    fact(driver ? "drifts since" : "so since", driver ? time(driver.onset_utc, "ago") : watch.since_utc ? time(watch.since_utc, "ago") : "–"),
    fact("lag", h("span", { class: late ? "warn" : "" }, duration(watch.lag_seconds))),
    fact("baseline", watch.baseline ? `${watch.baseline[0]} v${watch.baseline[1]}` : watch.learning_left ? `learning, ${watch.learning_left} to go` : "none"),
    watch.late ? fact("late", count(watch.late)) : null,
    watch.dropped ? fact("dropped", count(watch.dropped)) : null,
    watch.undelivered ? fact("alerts under way", count(watch.undelivered)) : null,
    failed ? fact("source", h("span.warn", "cannot be read")) : null,
  ]);
}

function fact(name, value) {
  return h("div", h("dt", name), h("dd", value));
}

/** Who wrote when is asked once for each epoch. */
function take_reigns(view, draw) {
  const watch = sorted()[0];
  if (!watch || state.link !== "live") return;
  const wanted = `${state.node.epoch}|${state.node.role}`;
  if (view.asked_for === wanted) return;
  view.asked_for = wanted;
  ask(`/api/v1/watches/${seg([...state.watches.keys()].sort()[0])}/reigns`).then((found) => { view.reigns = found.items; draw(new Set(["node"])); }).catch(() => { view.reigns ??= []; });
}

function draw_nodes(el, view) {
  const node = state.node;
  const nodes = node.nodes ?? [];
  const width = Math.max(280, el.clientWidth || 360);
  memo(el, [nodes.map((one) => [one.node, one.role, one.epoch, one.trouble, one.lag_records, one.takeover?.epoch, Math.round(one.last_contact_seconds / 5)]), view.reigns?.length, node.paused, Math.round(width / 20), node.role], () => [
    h("ul.nodes", nodes.map((one) => h("li", { class: one.node === node.node ? "here" : "" },
      h("div.node-line", h("strong", one.node), of_role(one.role), h("span.quiet", `epoch ${one.epoch}`), one.node === node.node ? h("span.chip", "this node") : address_of(one) && one.role !== "down" ? h("a", { href: `${address_of(one)}/#/` }, "open") : null),
      h("div.quiet", [`${one.host} · pid ${one.pid} · priority ${one.priority}`, one.role === "standby" ? ` · ${one.lag_records ? `${count(one.lag_records)} records behind` : "at the head"}` : "", one.role === "down" ? ` · last seen ${duration(one.last_contact_seconds)} ago` : ""].join("")),
      one.trouble ? h("div.warn", icon("drift"), " ", one.trouble) : null))),
    node.takeover ? h("p.takeover", icon("moving", "nobase"), h("span", h("strong", node.takeover.node), ` ${took_over(node.takeover)}, `, time(node.takeover.at))) : null,
    view.reigns?.length ? timeline(view.reigns, nodes, width) : null,
    view.reigns?.length ? h("details", h("summary", { "data-k": "reigns" }, `${many(view.reigns.length, "reign")} in words`), h("ol.reigns", [...view.reigns].reverse().map((reign) => h("li", h("strong", reign.node), ` epoch ${reign.epoch}, ${clock(reign.since)}`, reign.reason ? `: ${reign.reason}` : "", Number.isFinite(reign.gap_seconds) ? h("span.quiet", ` (${duration(Math.max(0, reign.gap_seconds))} after the record before)`) : null)))) : null,
    h("div.buttons.left", state.watches.size ? [button("Hand over …", switchover, { danger: true }), button(node.paused ? "End the pause …" : "Pause takeovers …", () => pause_takeovers(Boolean(node.paused)))] : null),
  ]);
}

function draw_agents(el) {
  if (state.supervised === "locked") return memo(el, "locked", () => [h("p.empty", "Agents are shown to those who sign in."), h("div.buttons.left", button("Sign in", sign))]);
  if (state.supervised === "failed") return memo(el, state.trouble, () => [h("p.warn", icon("drift"), ` ${state.trouble}`)]);
  if (state.supervised === "loading") return memo(el, "loading", () => [h("p.loading", h("span.pulse"), "Taking the agents …")]);
  const agents = [...state.agents.values()];
  const teams = new Map();
  for (const agent of agents) { const team = agent.team_id ?? ""; if (!teams.has(team)) teams.set(team, []); teams.get(team).push(agent); }
  const rows = [...teams].map(([id, members]) => {
    const tones = { pass: 0, drift: 0, fail: 0, nobase: 0, nodata: 0 };
    for (const agent of members) tones[agent_tone(agent)[1]] += 1;
    const worst = members.reduce((one, other) => (agent_rank(other) < agent_rank(one) ? other : one));
    return { id, name: state.teams.get(id)?.name ?? (id || "no team"), n: members.length, tones, restarts: members.reduce((sum, agent) => sum + (agent.restart_count ?? 0), 0), worst: agent_rank(worst) < 2 ? [worst.id, worst.status, worst.said, worst.since] : null, rank: agent_rank(worst) };
  }).sort((a, b) => a.rank - b.rank || a.name.localeCompare(b.name));
  return memo(el, rows, () => (rows.length ? [
    h("ul.teams", rows.slice(0, 40).map((row) => h("li",
      h("div.team-line", h("a", { href: to(["supervisors"], { team: row.id || "none" }) }, row.name), h("span.quiet", many(row.n, "agent")), h("span.quiet", many(row.restarts, "restart"))),
      bar(row),
      row.worst ? h("p.said", icon("fail"), " ", h("a", { href: to(["agent", row.worst[0]]) }, row.worst[0]), ` ${plain(row.worst[1])} `, time(row.worst[3], "ago"), row.worst[2] ? `: ${row.worst[2]}` : "") : null))),
    rows.length > 40 ? h("p", h("a", { href: "#/supervisors" }, `${rows.length - 40} more teams`)) : null,
    h("p", h("a", { href: "#/supervisors" }, `All ${many(agents.length, "agent")}`)),
  ] : [h("p.empty", "No agent is known. `agents:` in hb.yaml or POST /api/v1/agents make some.")]));
}

const TONES = [["fail", "need somebody"], ["drift", "not as they should be"], ["nobase", "starting"], ["pass", "well"], ["nodata", "at rest"]];

/** How the agents of a team are: a bar, and the same as signs with counts. */
function bar(row) {
  const told = TONES.filter(([tone]) => row.tones[tone]).map(([tone, words]) => `${row.tones[tone]} ${words}`).join(", ");
  const shares = h("span.bar", { role: "img", "aria-label": told });
  for (const [tone] of TONES) {
    if (!row.tones[tone]) continue;
    const part = h("span", { class: `share t-${tone}` });
    part.style.flexGrow = row.tones[tone];
    shares.append(part);
  }
  return h("div.team-bar", shares, h("span.tones", { "aria-hidden": "true" }, TONES.filter(([tone]) => row.tones[tone]).map(([tone, words]) => h("span.sign", { class: `t-${tone}`, title: words }, icon(tone), count(row.tones[tone])))));
}

function draw_open(el) {
  const groups = [...state.groups.values()].filter((group) => !group.resolved_at).sort((a, b) => severity(b) - severity(a) || (a.first_alert_at < b.first_alert_at ? 1 : -1));
  const waits = [...state.interventions.values()].filter((one) => (one.status === "PENDING" && one.approval_reasons?.length) || one.status === "IN_DOUBT");
  const alarms = state.node?.alarms ?? [];
  memo(el, [groups.map((group) => [group.id, group.severity, group.alert_count]), waits.map((one) => [one.id, one.status]), alarms, state.supervised], () => (groups.length || waits.length || alarms.length ? [
    h("ul.open", waits.map((one) => h("li", h("div", of_intervention(one.status), " ", h("a", { href: to(["intervention", one.id]) }, `${one.id}: ${plain(one.intervention_type)} ${one.target_id}`)), h("p.quiet", one.approval_reasons?.[0] ?? one.reason), h("div.buttons.left", one.status === "PENDING" ? [button("Agree …", () => intervention(one, "approve"), { k: `a-${one.id}` }), button("Refuse …", () => intervention(one, "reject"), { k: `r-${one.id}` })] : button("Settle …", () => intervention(one, "settle"), { k: `s-${one.id}` })))),
      groups.slice(0, 20).map((group) => h("li", h("div", of_severity(group.severity), " ", h("strong", group.correlation_summary || group.group_key)), h("p.quiet", `${group.id} · ${many(group.alert_count, "alert")} · since `, time(group.first_alert_at, "ago"), ` · ${[...group.affected_agents].slice(0, 3).join(", ")}`), h("div.buttons.left", button("Close …", () => resolve(group), { k: `g-${group.id}` })))),
      alarms.map((alarm) => h("li", h("div", icon("fail"), " ", h("strong", alarm.name), `: ${alarm.what}`), h("p.quiet", "since ", time(alarm.since), alarm.count > 1 ? `, ${alarm.count} times` : "")))),
    groups.length > 20 ? h("p.quiet", `and ${groups.length - 20} more groups of alerts`) : null,
  ] : [h("p.empty", icon("pass"), state.supervised === "locked" ? " No alarm of the watches. Alerts of agents are shown to those who sign in." : " Nothing waits for anybody.")]));
}

const severity = (group) => ["INFO", "WARNING", "ERROR", "CRITICAL"].indexOf(group.severity);

function draw_done(el) {
  const all = [...state.interventions.values()].sort((a, b) => Number(b.id.split("-").pop()) - Number(a.id.split("-").pop())).slice(0, 8);
  memo(el, [all.map((one) => [one.id, one.status, one.completed_at]), state.supervised], () => (all.length ? [
    h("ul.done", all.map((one) => h("li", h("div", of_intervention(one.status), " ", h("a", { href: to(["intervention", one.id]) }, `${plain(one.intervention_type)} ${one.target_id}`), " ", h("span.quiet", time(one.created_at, "ago"))), h("p.quiet", `${one.policy ? `policy ${one.policy[0]}` : one.requested_by}: ${one.reason}`)))),
    h("p", h("a", { href: "#/supervisors?tab=interventions" }, "All interventions")),
  ] : [h("p.empty", state.supervised === "locked" ? "Shown to those who sign in." : "Nothing had to be done.")]));
}

export { fact, figure, active_place };
