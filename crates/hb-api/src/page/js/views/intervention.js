// One intervention: its path from the cause to the outcome.
import { button, intervention as act } from "../actions.js";
import { ask, seg } from "../api.js";
import { h, later, memo } from "../dom.js";
import { clock, many, plain, sentence, time } from "../format.js";
import { to } from "../router.js";
import { icon, of_intervention, of_severity, sign } from "../sign.js";
import { state } from "../store.js";
import { lasted } from "../verdict.js";
import { trace } from "./policy.js";

const STEPS = { waiting: ["none", "nodata", "its turn has not come"], begun: ["moving", "nobase", "under way"], done: ["pass", "pass", "done"], failed: ["fail", "fail", "not done"], in_doubt: ["drift", "drift", "in doubt"], skipped: ["nodata", "nodata", "not needed"] };

/** Shows the view. */
export function show(main, [id]) {
  const view = { one: null, group: null, evaluation: null, events: [], fault: "" };
  const body = h("div");
  main.replaceChildren(body);
  const render = () => draw(body, id, view);
  const take = later(80, async () => {
    try {
      const one = await ask(`/api/v1/interventions/${seg(id)}`);
      view.one = one;
      const [group, evaluation, events] = await Promise.allSettled([
        one.group ? ask(`/api/v1/alerts/${seg(one.group)}`) : null,
        Number.isInteger(one.evaluation) ? ask(`/api/v1/evaluations/${one.evaluation}`) : null,
        ask(`/api/v1/events?intervention=${seg(id)}&limit=100&order=oldest`),
      ]);
      Object.assign(view, { group: group.value ?? null, evaluation: evaluation.value ?? null, events: events.value?.items ?? [], fault: "" });
    } catch (fault) { view.fault = fault.message; }
    render();
  });
  take();
  let print = "";
  return { draw: (what) => { const live = state.interventions.get(id); const now = live ? JSON.stringify([live.status, live.plan]) : ""; if (what.has("supervised") || now !== print) { print = now; take(); } render(); } };
}

function draw(el, id, view) {
  const { one } = view;
  memo(el, [view.one, view.group, view.evaluation, view.events.length, view.fault], () => {
    const crumbs = h("p.crumbs", h("a", { href: "#/supervisors?tab=interventions" }, "Interventions"), " / ", id);
    if (!one) return [crumbs, h("h1", id), view.fault ? h("p.warn", icon("drift"), ` ${view.fault}`) : h("p.loading", h("span.pulse"), "Reading it …")];
    return [crumbs,
      h("div.page-head", h("h1", `${sentence(plain(one.intervention_type))} `, h("code", one.target_id), " ", of_intervention(one.status)), h("div.buttons", acts(one))),
      h("ol.path", cause(one, view), decision(one, view), person(one), plan(one), outcome(one)),
      h("section.box", { "aria-labelledby": "h-iev" }, h("h2", { id: "h-iev" }, "Its events"), view.events.length ? h("ol.events-short", view.events.map((event) => h("li", of_severity(event.severity), " ", event.message, " ", h("span.quiet", `${event.kind} · ${event.by} · ${clock(event.at)}`)))) : h("p.empty", "No event of it is kept."))];
  });
}

function acts(one) {
  if (one.status === "PENDING") return [button("Agree …", () => act(one, "approve"), { small: false }), button("Refuse …", () => act(one, "reject"), { small: false })];
  if (one.status === "IN_DOUBT") return [button("Settle …", () => act(one, "settle"), { small: false })];
  if (["COMPLETED", "FAILED"].includes(one.status) && one.plan.some((step) => step.undo)) return [button("Undo …", () => act(one, "rollback"), { danger: true, small: false })];
  return [];
}

function stop(shape, tone, title, ...kids) {
  return h("li", { class: `t-${tone}` }, h("span.stop", icon(shape, tone)), h("div", h("h2", title), kids));
}

function cause(one, { group }) {
  if (group) return stop("drift", "drift", "What was wrong", h("p", of_severity(group.severity), " ", group.correlation_summary || group.group_key), h("p.quiet", `${many(group.alert_count, "alert")} · first `, time(group.first_alert_at), group.resolved_at ? [", over ", time(group.resolved_at)] : ", still open"), h("p", [...group.affected_agents].slice(0, 8).map((agent) => [h("a", { href: to(["agent", agent]) }, agent), " "])));
  return stop("person", "nobase", "Who asked", h("p", one.requested_by), h("p", one.reason), h("p.quiet", time(one.created_at)));
}

function decision(one, { evaluation }) {
  if (!one.policy) return null;
  const [policy, version] = one.policy;
  return stop("active", "nobase", "What was decided", h("p", "Policy ", h("a", { href: to(["policy", policy]) }, policy), ` version ${version}: ${one.reason}`), evaluation ? [h("p.quiet", `Evaluation ${evaluation.id}, set off by ${evaluation.trigger}, `, time(evaluation.at)), trace(evaluation.decision_path), evaluation.action_taken.length ? h("p", evaluation.action_taken.join("; ")) : null] : null);
}

function person(one) {
  if (!one.approval_reasons?.length && !one.decided) return null;
  return stop("person", one.decided ? "pass" : "drift", "Who agreed", one.approval_reasons?.map((reason) => h("p.quiet", `A person has to agree: ${reason}`)), one.decided ? h("p", h("strong", one.decided.by), one.status === "REJECTED" ? " refused" : " agreed", one.decided.reason ? `: ${one.decided.reason} ` : " ", time(one.decided.at)) : h("p", "Nobody yet", one.expires_at ? [", possible until ", time(one.expires_at)] : ""));
}

function plan(one) {
  return stop("moving", "nobase", "What was done", h("ol.steps", one.plan.map((step) => { const [shape, tone, words] = STEPS[step.state] ?? STEPS.waiting; const [verb, target] = act_of(step.act); return h("li", sign(shape, tone, words), " ", step.undoes ? "takes back: " : "", plain(verb), " ", h("a", { href: to(["agent", target]) }, target), step.begun_at ? h("span.quiet", ` ${clock(step.begun_at)}`) : null, step.said ? h("p.quiet", step.said) : null); })));
}

function act_of(act) {
  const [verb, what] = Object.entries(act)[0];
  return verb === "call" ? [what.verb, what.agent] : [verb, what];
}

function outcome(one) {
  const over = ["COMPLETED", "FAILED", "REJECTED", "ROLLED_BACK"].includes(one.status);
  const tone = { COMPLETED: "pass", FAILED: "fail", IN_DOUBT: "drift" }[one.status] ?? "nodata";
  return stop(over ? (tone === "pass" ? "pass" : tone === "fail" ? "fail" : "nodata") : "wait", tone, "What it came to", h("p", of_intervention(one.status), one.outcome ? ` ${one.outcome}` : "", one.completed_at ? [", ", time(one.completed_at), h("span.quiet", one.executed_at ? ` after ${lasted(one.executed_at, one.completed_at)}` : "")] : ""), one.error_message ? h("p.warn", one.error_message) : null);
}
