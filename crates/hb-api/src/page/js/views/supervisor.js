// The supervisor: its tree, its agents, what was done with its path, what waits for a person, and its policies.
import { button, intervention, sign, supervisor as act } from "../actions.js";
import { h, keyed, memo, text } from "../dom.js";
import { count, many, plain, time } from "../format.js";
import { List } from "../list.js";
import { note, to } from "../router.js";
import { agent_rank, icon, of_agent, of_intervention, of_supervisor } from "../sign.js";
import { state } from "../store.js";

const ROW = 46;
const TABS = [["agents", "Agents"], ["interventions", "Interventions"], ["policies", "Policies"], ["tree", "Tree"]];

/** Shows the view. */
export function show(main, _parts, asked) {
  const view = { tab: asked.get("tab") ?? "agents", filter: "", team: asked.get("team"), supervisor: asked.get("supervisor"), only: asked.get("show") };
  const head = h("div");
  const tabs = h("div.tabs", { role: "tablist", "aria-label": "Parts of the supervisor" });
  const body = h("div", { role: "tabpanel", id: "panel", "aria-labelledby": `tab-${view.tab}` });
  const filter = h("input", { type: "search", placeholder: "Filter agents: name, state, tag, words", "aria-label": "Filter agents", "data-k": "filter", oninput: () => { view.filter = filter.value.toLowerCase(); draw(new Set(["agents"])); } });
  const only = h("select", { "aria-label": "Which agents", "data-k": "only", onchange: () => { view.only = only.value; note({ show: only.value }); draw(new Set(["agents"])); } }, [["", "all"], ["ill", "that need somebody"], ["up", "that are well"], ["rest", "at rest"]].map(([value, label]) => h("option", { value, selected: value === (view.only ?? "") }, label)));
  const team = h("select", { "aria-label": "Of which team", "data-k": "team", onchange: () => { view.team = team.value || null; note({ team: view.team }); draw(new Set(["agents"])); } });
  const told = h("span.quiet");
  const list = new List({ height: ROW, label: "Agents", make: make_row, fill: fill_row, enter: (agent) => { location.hash = to(["agent", agent.id]); },
    head: h("div.agent-head", { role: "row" }, ["agent", "state", "since", "restarts", "last words"].map((word) => h("span", { role: "columnheader" }, word))) });
  const agents = h("section.box", { "aria-label": "Agents" }, h("div.tools", filter, only, team, told), list.el, h("p.empty", { hidden: true }, "No agent matches."));
  const interventions = h("div");
  const policies = h("section.box", { "aria-label": "Policies" });
  const tree = h("section.box", { "aria-label": "Tree" });
  const rooms = { agents, interventions, policies, tree };
  main.replaceChildren(head, tabs, body);

  function choose(tab) {
    view.tab = tab;
    note({ tab: tab === "agents" ? null : tab });
    body.replaceChildren(rooms[tab]);
    body.setAttribute("aria-labelledby", `tab-${tab}`);
    draw(new Set(["all"]));
  }

  function draw(what) {
    const any = (...topics) => what.has("all") || topics.some((topic) => what.has(topic));
    draw_head(head);
    const usable = state.supervised === "ready";
    tabs.hidden = !usable;
    body.hidden = !usable;
    if (!usable) return;
    draw_tabs(tabs, view, choose);
    if (view.tab === "agents" && any("agents", "teams", "supervised")) { draw_teams(team, view); draw_agents(list, agents, told, view); }
    if (view.tab === "interventions" && any("interventions", "supervised")) draw_interventions(interventions);
    if (view.tab === "policies" && any("policies", "supervised")) draw_policies(policies);
    if (view.tab === "tree" && any("supervisors", "teams", "agents", "supervised")) draw_tree(tree);
  }
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = TABS.findIndex(([tab]) => tab === view.tab);
    choose(TABS[(at + step + TABS.length) % TABS.length][0]);
    tabs.querySelector("[aria-selected=true]")?.focus();
  });
  if (!rooms[view.tab]) view.tab = "agents";
  body.replaceChildren(rooms[view.tab]);
  return { draw, end: () => list.end(), moved: (_, next) => { const tab = next.get("tab") ?? "agents"; Object.assign(view, { team: next.get("team"), only: next.get("show") }); only.value = view.only ?? ""; if (tab !== view.tab) choose(tab); else draw(new Set(["all"])); } };
}

function draw_head(el) {
  const picture = state.node?.supervisor;
  memo(el, [state.supervised, state.trouble, picture], () => [
    h("div.page-head", h("h1", "Supervisor ", picture ? h("span.chip", picture.presence.state) : null)),
    picture?.presence.reasons?.length ? h("ul.warn", picture.presence.reasons.map((reason) => h("li", icon("drift"), ` ${reason}`))) : null,
    picture?.presence.state === "recovering" ? h("p.warn", icon("wait"), ` Recovering: ${picture.presence.found} of ${picture.presence.of} agents that ran before are found.`) : null,
    state.supervised === "none" ? h("p.empty-box", "Nothing is supervised here: this node only watches. ", h("code", "agents:"), " in hb.yaml make a supervisor.") : null,
    state.supervised === "locked" ? h("div.empty-box", h("p", "What a supervisor knows is shown to those who sign in."), button("Sign in", sign)) : null,
    state.supervised === "loading" ? h("p.loading", { role: "status" }, h("span.pulse"), "Taking everything …") : null,
    state.supervised === "failed" ? h("p.warn", icon("drift"), ` ${state.trouble}. Trying again.`) : null,
    picture ? h("dl.facts", [["agents", Object.entries(picture.agents).filter(([, n]) => n).map(([word, n]) => `${n} ${word}`).join(", ") || "none"], ["restarts so far", count(picture.restarts)], ["open interventions", count(picture.interventions_open)], ["open groups of alerts", count(picture.alert_groups_open)], ["epoch", picture.epoch]].map(([word, value]) => h("div", h("dt", word), h("dd", value)))) : null,
  ]);
}

function draw_tabs(el, view, choose) {
  const waits = [...state.interventions.values()].filter((one) => one.status === "PENDING" && one.approval_reasons?.length).length;
  memo(el, [view.tab, waits], () => TABS.map(([tab, label]) => h("button", { type: "button", role: "tab", id: `tab-${tab}`, "aria-controls": "panel", "aria-selected": String(tab === view.tab), tabindex: tab === view.tab ? "0" : "-1", "data-k": `tab-${tab}`, onclick: () => choose(tab) }, label, tab === "interventions" && waits ? h("span.count", waits, h("span.hidden", " wait for a person")) : null)));
}

function draw_teams(el, view) {
  memo(el, [[...state.teams.keys()], view.team], () => [h("option", { value: "" }, "all teams"), ...[...state.teams.values()].map((team) => h("option", { value: team.id, selected: team.id === view.team }, team.name)), h("option", { value: "none", selected: view.team === "none" }, "no team")]);
}

function draw_agents(list, box, told, view) {
  const wants = { ill: (agent) => agent_rank(agent) < 2, up: (agent) => agent_rank(agent) === 3, rest: (agent) => agent_rank(agent) === 4 }[view.only];
  const found = [];
  for (const agent of state.agents.values()) {
    if (wants && !wants(agent)) continue;
    if (view.team && (agent.team_id ?? "none") !== view.team) continue;
    if (view.filter && !`${agent.id} ${agent.status} ${agent.health_status} ${agent.said} ${(agent.tags ?? []).join(" ")}`.toLowerCase().includes(view.filter)) continue;
    found.push(agent);
  }
  found.sort((a, b) => agent_rank(a) - agent_rank(b) || (a.id < b.id ? -1 : 1));
  text(told, found.length === state.agents.size ? many(found.length, "agent") : `${count(found.length)} of ${many(state.agents.size, "agent")}`);
  list.el.hidden = !found.length;
  box.querySelector(".empty").hidden = found.length > 0;
  list.set(found);
}

function make_row() {
  const row = h("div.agent-row");
  row.cells = ["name", "state", "since", "restarts", "said"].map((name) => h("span", { class: `c-${name}`, role: "cell" }));
  row.append(...row.cells);
  return row;
}

function fill_row(row, agent) {
  const [name, how, since, restarts, said] = row.cells;
  const print = `${agent.id}|${agent.status}|${agent.health_status}|${agent.wanted}|${agent.since}|${agent.restart_count}|${agent.said}|${agent.last_exit}`;
  if (row.print === print) return;
  row.print = print;
  name.replaceChildren(h("a", { href: to(["agent", agent.id]), tabindex: "-1" }, agent.id), h("span.quiet", ` ${state.teams.get(agent.team_id)?.name ?? ""}`));
  how.replaceChildren(of_agent(agent));
  since.replaceChildren(time(agent.since, "ago"));
  text(restarts, agent.restart_count ? count(agent.restart_count) : "0");
  text(said, agent.said || agent.last_exit || "");
}

const number = (one) => Number(one.id.split("-").pop());

function draw_interventions(el) {
  const all = [...state.interventions.values()].sort((a, b) => number(b) - number(a));
  const waits = all.filter((one) => one.status === "PENDING" && one.approval_reasons?.length);
  const doubt = all.filter((one) => one.status === "IN_DOUBT");
  const open = all.filter((one) => !waits.includes(one) && !doubt.includes(one) && ["PENDING", "APPROVED", "EXECUTING"].includes(one.status));
  const over = all.filter((one) => ["COMPLETED", "FAILED", "REJECTED", "ROLLED_BACK"].includes(one.status));
  memo(el, all.map((one) => [one.id, one.status, one.plan.map((step) => step.state)]), () => [
    section("Wait for a person", waits, "Nothing waits for a person.", (one) => [button("Agree …", () => intervention(one, "approve"), { k: `a-${one.id}` }), button("Refuse …", () => intervention(one, "reject"), { k: `r-${one.id}` })]),
    doubt.length ? section("In doubt: say what they came to", doubt, "", (one) => button("Settle …", () => intervention(one, "settle"), { k: `s-${one.id}` })) : null,
    open.length ? section("Under way", open, "", () => null) : null,
    section("Over", over.slice(0, 200), "Nothing had to be done yet.", () => null),
  ]);
}

function section(title, list, nothing, acts) {
  const id = `iv-${title.split(" ")[0].toLowerCase()}`;
  return h("section.box", { "aria-labelledby": id }, h("h2", { id }, title), list.length ? h("ul.interventions", list.map((one) => h("li",
    h("div.cycle-head", h("span", of_intervention(one.status), " ", h("a", { href: to(["intervention", one.id]) }, `${one.id}: ${plain(one.intervention_type)} ${one.target_id}`), " ", h("span.quiet", time(one.created_at, "ago"))), h("span.buttons.left", acts(one))),
    h("p.quiet", `${one.policy ? `policy ${one.policy[0]} v${one.policy[1]}` : one.requested_by}: ${one.reason}`),
    one.approval_reasons?.length && one.status === "PENDING" ? h("p", icon("person"), ` ${one.approval_reasons.join("; ")}`, one.expires_at ? [h("span.quiet", " until "), time(one.expires_at, "clock")] : null) : null,
    one.error_message ? h("p.warn", one.error_message) : null))) : h("p.empty", nothing));
}

function draw_policies(el) {
  const all = [...state.policies.values()].sort((a, b) => Number(b.is_active) - Number(a.is_active) || a.name.localeCompare(b.name));
  memo(el, all, () => (all.length ? [h("div.wide", { tabindex: "0", role: "region", "aria-label": "Table of policies" }, h("table", h("thead", h("tr", ["policy", "in force", "when", "held", "helps", "on duty for"].map((word) => h("th", { scope: "col" }, word)))),
    h("tbody", all.map((policy) => h("tr", h("th", { scope: "row" }, h("a", { href: to(["policy", policy.name]) }, policy.name), policy.dangerous ? [" ", h("span.chip", "dangerous")] : null, policy.held_change ? [" ", h("span.chip", "a change is held")] : null),
      h("td", policy.is_active ? [icon("pass"), ` v${policy.active_version}`] : h("span.quiet", policy.retired_at ? "retired" : "no")), h("td", h("code", policy.when)), h("td", `${count(policy.matches)} of ${count(policy.total_evaluations)}`), h("td", meter(policy.effectiveness_score)), h("td", policy.on_duty.filter((duty) => duty.enabled).map((duty) => duty.supervisor_id).join(", ") || h("span.quiet", "nobody")))))))] : [h("p.empty", "No policy is known. `policies:` in hb.yaml or POST /api/v1/policies make some.")]));
}

/** How well a policy helps. */
export function meter(score) {
  const el = h("meter", { min: "0", max: "1", value: String(score ?? 0), "aria-label": `effectiveness ${Math.round((score ?? 0) * 100)} %` });
  return h("span.meter", el, ` ${Math.round((score ?? 0) * 100)} %`);
}

function draw_tree(el) {
  const all = [...state.supervisors.values()];
  const children = (id) => all.filter((one) => (one.parent_id ?? null) === id).sort((a, b) => a.name.localeCompare(b.name));
  const teams_of = (id) => [...state.teams.values()].filter((team) => team.supervisor_id === id);
  const agents_of = (id) => { const tones = { n: 0, ill: 0 }; for (const agent of state.agents.values()) if (agent.supervisor_id === id) { tones.n += 1; if (agent_rank(agent) < 2) tones.ill += 1; } return tones; };
  const print = all.map((one) => [one.id, one.status, one.wanted, one.failure_reason, agents_of(one.id)]);
  const branch = (one) => h("li",
    h("div.cycle-head", h("span", of_supervisor(one), " ", h("strong", one.name), h("span.quiet", ` ${one.id}${one.origin === "declared" ? " · declared in hb.yaml" : ""}`)), h("span.buttons.left",
      one.wanted === "PAUSED" ? button("Resume …", () => act(one, "resume"), { k: `sr-${one.id}` }) : one.wanted === "ACTIVE" ? button("Pause …", () => act(one, "pause"), { k: `sp-${one.id}` }) : null,
      one.status === "FAILED" ? button("Restart …", () => act(one, "restart"), { k: `st-${one.id}` }) : null,
      one.wanted !== "TERMINATED" ? button("End …", () => act(one, "stop"), { danger: true, k: `se-${one.id}` }) : null)),
    one.description ? h("p", one.description) : null,
    one.failure_reason ? h("p.warn", icon("fail"), ` ${one.failure_reason}`) : null,
    h("p.quiet", `${many(agents_of(one.id).n, "agent")}${agents_of(one.id).ill ? `, ${agents_of(one.id).ill} need somebody` : ""} · ${many(one.policies.length, "policy", "policies")} · last beat `, time(one.last_heartbeat, "ago")),
    teams_of(one.id).length ? h("ul.tree-teams", teams_of(one.id).map((team) => h("li", h("a", { href: to(["supervisors"], { team: team.id }) }, team.name), h("span.quiet", ` ${team.active_count} of ${many(team.member_count, "member")} up${team.objective ? ` · ${team.objective}` : ""}`)))) : null,
    children(one.id).length ? h("ul.tree", children(one.id).map(branch)) : null);
  memo(el, print, () => (all.length ? [h("ul.tree", children(null).map(branch))] : [h("p.empty", "No supervisor is known.")]));
}

export { keyed };
