// One policy: what it says, what differs between its versions, what it would do, how well it helps.
import { button, policy as act, sign } from "../actions.js";
import { ask, seg } from "../api.js";
import { h, memo } from "../dom.js";
import { count, figure, many, plain, time } from "../format.js";
import { to } from "../router.js";
import { icon } from "../sign.js";
import { state } from "../store.js";
import { meter } from "./supervisor.js";

/** How a condition came to what it did: each part with what was found. */
export function trace(path) {
  return h("ol.trace", (path ?? []).map((step) => {
    const held = step.held === true ? ["pass", "held"] : step.held === false ? ["nodata", "did not hold"] : ["none", "not looked at"];
    const row = h("li", icon(held[0], held[0] === "pass" ? "pass" : "nodata"), h("code", step.condition), h("span.quiet", ` ${held[1]}${step.found !== undefined ? `: was ${JSON.stringify(step.found)}` : ""}`));
    row.style.paddingLeft = `${step.depth * 1.2}rem`;
    return row;
  }));
}

/** Shows the view. */
export function show(main, [name]) {
  const view = { policy: null, diff: null, from: null, to: null, evaluations: [], simulation: null, fault: "" };
  const body = h("div");
  const lab = h("section.box", { "aria-labelledby": "h-sim" });
  main.replaceChildren(body, lab);
  const path = `/api/v1/policies/${seg(name)}`;
  const render = () => { draw(body, name, view, choose); draw_lab(lab, view, path); };
  async function choose(from, target) {
    Object.assign(view, { from, to: target });
    try { view.diff = from && target && from !== target ? await ask(`${path}/diff?from=${from}&to=${target}`) : null; } catch (fault) { view.diff = { fault: fault.message }; }
    render();
  }
  async function take() {
    try {
      const [policy, evaluations] = await Promise.all([ask(path), ask(`${path}/evaluations?limit=20`)]);
      Object.assign(view, { policy, evaluations: evaluations.items, fault: "" });
      const numbers = policy.versions.map((version) => version.version);
      const newest = numbers[numbers.length - 1];
      await choose(view.from ?? policy.active_version ?? numbers[numbers.length - 2] ?? newest, view.to ?? newest);
    } catch (fault) { view.fault = fault.message; view.status = fault.status; render(); }
  }
  render();
  take();
  return { draw: (what) => { if (what.has("policy") || what.has("policies") || what.has("supervised")) take(); } };
}

function draw(el, name, view, choose) {
  const { policy } = view;
  memo(el, [policy, view.diff, view.from, view.to, view.fault, view.evaluations.map((one) => one.id)], () => {
    const crumbs = h("p.crumbs", h("a", { href: "#/supervisors?tab=policies" }, "Policies"), " / ", name);
    if (!policy) return [crumbs, h("h1", name), view.fault ? [h("p.warn", icon("drift"), ` ${view.fault}`), view.status === 401 ? button("Sign in", sign) : null] : h("p.loading", h("span.pulse"), "Reading it …")];
    return [crumbs,
      h("div.page-head", h("h1", policy.name, " ", policy.is_active ? h("span.chip.good", icon("pass"), ` version ${policy.active_version} in force`) : h("span.chip", "not in force"), policy.dangerous ? h("span.chip", "dangerous") : null), h("div.buttons", policy.is_active ? [button("Take out of force …", () => act(policy, "deactivate"), { small: false }), policy.versions.length > 1 ? button("Roll back …", () => act(policy, "rollback"), { small: false }) : null] : button("Put in force …", () => act(policy, "activate"), { danger: true, small: false }))),
      policy.description ? h("p", policy.description) : null,
      h("section.box", { "aria-label": "What it says" }, h("p", h("strong", "When "), h("code", policy.when)), h("p", h("strong", "Then "), actions(policy)), variables(policy.variables)),
      h("section.box", { "aria-labelledby": "h-eff" }, h("h2", { id: "h-eff" }, "How well it helps"), h("dl.facts", [["effectiveness", meter(policy.effectiveness_score)], ["evaluated", count(policy.total_evaluations)], ["its condition held", `${count(policy.matches)} (${policy.total_evaluations ? Math.round((100 * policy.matches) / policy.total_evaluations) : 0} %)`], ["helped", count(policy.successful_evaluations)]].map(([word, value]) => h("div", h("dt", word), h("dd", value)))),
        policy.held ? h("p.warn", icon("drift"), ` A change of its figures is held since ${policy.held.at}: ${policy.held.justification}`) : null,
        view.evaluations.length ? h("details", h("summary", { "data-k": "evals" }, `The newest ${many(view.evaluations.length, "evaluation")}`), h("ul.interventions", view.evaluations.map((one) => h("li", icon(one.decision ? "pass" : "nodata"), ` ${one.decision ? "held" : "did not hold"} `, one.agent ? h("a", { href: to(["agent", one.agent]) }, one.agent) : "", ` ${one.action_taken.join("; ")} `, h("span.quiet", time(one.at, "ago")), trace(one.decision_path))))) : null),
      versions(policy, view, choose)];
  });
}

function actions(policy) {
  const version = policy.versions.find((one) => one.version === policy.active_version) ?? policy.versions[policy.versions.length - 1];
  return h("span", (version?.definition.actions ?? []).map((one, place) => [place ? ", then " : "", h("strong", plain(one.type)), one.target ? [" ", h("code", one.target)] : "", one.approval_required ? " (a person has to agree)" : ""]));
}

function variables(all) {
  const names = Object.entries(all ?? {});
  return names.length ? h("p.quiet", "Figures: ", names.map(([name, one]) => `${name} = ${figure(one.value)} (${figure(one.min)} … ${figure(one.max)}${one.adaptive ? ", learns" : ""})`).join(", ")) : null;
}

function versions(policy, view, choose) {
  const pick = (value, label, change) => h("select", { "aria-label": label, "data-k": label, onchange: (event) => change(Number(event.target.value)) }, policy.versions.map((one) => h("option", { value: String(one.version), selected: one.version === value }, `version ${one.version}${one.is_active ? " (in force)" : ""}`)));
  return h("section.box", { "aria-labelledby": "h-ver" }, h("h2", { id: "h-ver" }, "Versions"),
    h("ol.versions", [...policy.versions].reverse().map((one) => h("li", { class: one.is_active ? "current" : "" }, h("div.cycle-head", h("span", h("strong", `Version ${one.version}`), " ", one.is_active ? h("span.chip", "in force") : null, " ", h("code", one.when)), h("span.buttons.left", one.is_active ? null : [one.dangerous && !one.approved_by ? button("Agree …", () => act(policy, "approve", one.version), { k: `pa-${one.version}` }) : null, button("Put in force …", () => act(policy, "activate", one.version), { k: `pv-${one.version}` })])), h("p.quiet", one.description || "", one.author ? ` by ${one.author}` : "", one.created_at ? [" ", time(one.created_at)] : "")))),
    policy.versions.length > 1 ? [h("h3", "What differs"), h("p.tools", "from ", pick(view.from, "From version", (value) => choose(value, view.to)), " to ", pick(view.to, "To version", (value) => choose(view.from, value))), difference(view.diff)] : null);
}

function difference(diff) {
  if (!diff) return h("p.empty", "The same version twice: nothing differs.");
  if (diff.fault) return h("p.warn", diff.fault);
  if (!diff.changes.length) return h("p.empty", "Nothing differs.");
  const value = (one) => (one === undefined || one === null ? "nothing" : typeof one === "string" ? one : JSON.stringify(one));
  return h("table.diff", h("thead", h("tr", ["what", "before", "after"].map((word) => h("th", { scope: "col" }, word)))), h("tbody", diff.changes.map((change) => {
    const what = change.path ?? change.field ?? change.what ?? "";
    const before = change.from ?? change.before ?? change.old;
    const after = change.to ?? change.after ?? change.new;
    return h("tr", h("th", { scope: "row" }, h("code", typeof change === "string" ? change : what)), h("td.minus", before === undefined ? "" : `− ${value(before)}`), h("td.plus", after === undefined ? "" : `+ ${value(after)}`));
  })));
}

function draw_lab(el, view, path) {
  memo(el, [view.policy?.name, view.simulation, state.agents.size > 0], () => {
    if (!view.policy) return [];
    const agent = h("input", { id: "sim-agent", list: "sim-agents", autocomplete: "off", value: view.sim_agent ?? "" });
    const context = h("textarea", { id: "sim-context", rows: "3", spellcheck: "false", placeholder: "{\"agent.anomaly_score\": 0.95}" });
    context.value = view.sim_context ?? "";
    const run = async () => {
      Object.assign(view, { sim_agent: agent.value.trim(), sim_context: context.value });
      const body = {};
      if (view.sim_agent) body.agent_id = view.sim_agent;
      try {
        if (context.value.trim()) body.context = JSON.parse(context.value);
        view.simulation = await ask(`${path}/simulate`, { method: "POST", body });
      } catch (fault) { view.simulation = { fault: fault instanceof SyntaxError ? `What is supposed has to be JSON: ${fault.message}` : fault.message }; }
      draw_lab(el, view, path);
    };
    return [h("h2", { id: "h-sim" }, "What it would do"), h("p.quiet", "Nothing comes of it: no event, no intervention."),
      h("div.lab", h("p.field", h("label", { for: "sim-agent" }, "About which agent"), agent, h("datalist", { id: "sim-agents" }, [...state.agents.keys()].slice(0, 300).map((id) => h("option", { value: id })))), h("p.field", h("label", { for: "sim-context" }, "Supposing that (JSON; leave empty for things as they are)"), context), h("div.buttons.left", h("button.primary", { type: "button", "data-k": "sim", onclick: run }, "See what it would do"))),
      view.simulation ? result(view.simulation) : null];
  });
}

function result(found) {
  if (found.fault) return h("p.warn", { role: "status" }, icon("drift"), ` ${found.fault}`);
  return h("div.result", { role: "status" }, h("p", icon(found.would_match ? "pass" : "nodata"), h("strong", found.would_match ? " Its condition would hold." : " Its condition would not hold.")), found.would_execute.length ? h("ol", found.would_execute.map((one) => h("li", h("strong", plain(one.type)), " ", one.target ? h("code", one.target) : h("span.quiet", "nobody"), one.approval_required ? " after a person has agreed" : "", h("p.quiet", one.reason)))) : null, trace(found.decision_path));
}
