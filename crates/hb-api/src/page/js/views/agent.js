// One agent: why it is as it is, what happened to it, what was done, what comes next; and what can be done.
import { agent as act, button, sign } from "../actions.js";
import { ask, seg } from "../api.js";
import { h, later, memo } from "../dom.js";
import { count, figure, plain, sentence, time } from "../format.js";
import { to } from "../router.js";
import { icon, of_agent, of_intervention, of_severity } from "../sign.js";
import { state } from "../store.js";
import { trace } from "./policy.js";

/** Shows the view. */
export function show(main, [id]) {
  const view = { why: null, fault: "" };
  const body = h("div");
  main.replaceChildren(body);
  const take = later(80, async () => {
    try { view.why = await ask(`/api/v1/agents/${seg(id)}/why`); view.fault = ""; } catch (fault) { view.fault = fault.message; view.status = fault.status; }
    render();
  });
  const render = () => draw(body, id, view);
  take();
  let events = 0;
  return {
    draw: (what) => {
      const about = state.events[0]?.id ?? 0;
      if (what.has(`agent:${id}`) || (what.has("events") && about !== events && state.events.slice(0, 20).some((event) => event.about?.agent === id && event.id > events))) take();
      if (what.has("supervised")) take();
      events = about;
      render();
    },
  };
}

function draw(el, id, view) {
  const live = state.agents.get(id);
  const { why } = view;
  memo(el, [why, view.fault, live?.status, live?.health_status, live?.restart_count], () => {
    const agent = live ?? why?.agent;
    if (!agent) return [h("p.crumbs", h("a", { href: "#/supervisors" }, "Supervisor"), " / agent"), h("h1", id), view.fault ? [h("p.warn", icon("drift"), ` ${view.fault}`), view.status === 401 ? button("Sign in", sign) : null] : h("p.loading", h("span.pulse"), "Asking why it is as it is …")];
    return [
      h("p.crumbs", h("a", { href: "#/supervisors" }, "Supervisor"), " / agent"),
      h("div.page-head", h("h1", agent.id, " ", of_agent(agent)), h("div.buttons", acts(agent))),
      h("section.box.why-box", { "aria-labelledby": "h-why" }, h("h2", { id: "h-why" }, "Why"), why ? h("ol.because", why.because.map((line) => h("li", sentence(line)))) : h("p.loading", h("span.pulse"), "Asking …"),
        why?.next.length ? [h("h3", "What comes next"), h("ul", why.next.map((next) => h("li", sentence(next.what), ": ", time(next.at))))] : null),
      facts(agent, why?.agent),
      why ? h("div.two", interventions(why), h("section.box", { "aria-labelledby": "h-ev" }, h("h2", { id: "h-ev" }, "What happened to it"), h("ol.events-short", why.events.map((event) => h("li", of_severity(event.severity), " ", h("span", event.message), " ", h("span.quiet", `${event.kind} · ${event.by} · `, time(event.at, "ago"))))), h("p", h("a", { href: to(["events"], { agent: id }) }, "All events of it")))) : null,
    ];
  });
}

function acts(agent) {
  const out = [];
  if (agent.status === "QUARANTINED") out.push(button("Release …", () => act(agent, "release"), { small: false }));
  else {
    if (agent.wanted === "up") out.push(button("Restart …", () => act(agent, "restart"), { small: false }), button("Stop …", () => act(agent, "stop"), { small: false }));
    if (agent.wanted !== "up" || agent.given_up || agent.status === "FAILED") out.push(button("Start …", () => act(agent, "start"), { small: false }));
    out.push(button("Quarantine …", () => act(agent, "quarantine"), { danger: true, small: false }));
  }
  return out;
}

function facts(agent, whole) {
  const rows = [["kind", `${agent.kind} ${agent.type}`], ["wanted", agent.wanted], ["in this state since", time(agent.since)], ["restarts", count(agent.restart_count)], ["incarnation", count(agent.incarnation)], ["team", agent.team_id ? state.teams.get(agent.team_id)?.name ?? agent.team_id : "none"], agent.pid ? ["pid", String(agent.pid)] : null, agent.last_heartbeat ? ["last beat", time(agent.last_heartbeat, "ago")] : null, agent.current_task_id ? ["task", agent.current_task_id] : null, agent.anomaly_score ? ["anomaly score", figure(agent.anomaly_score)] : null, agent.last_exit ? ["its process", agent.last_exit] : null, ["made known by", agent.origin === "declared" ? "hb.yaml" : "the API"],
    whole?.usage ? ["memory", `${figure(whole.usage.memory_mb)} MB`] : null, whole?.usage ? ["processor", `${figure(whole.usage.cpu_percent)} %`] : null,
    ...Object.entries(whole?.metrics ?? {}).slice(0, 8).map(([name, value]) => [name, figure(value)])].filter(Boolean);
  return h("section.box", { "aria-label": "Facts" }, h("dl.facts", rows.map(([word, value]) => h("div", h("dt", word), h("dd", value)))));
}

function interventions(why) {
  return h("section.box", { "aria-labelledby": "h-did" }, h("h2", { id: "h-did" }, "What was done"),
    why.interventions.length ? h("ul.interventions", why.interventions.map((one) => h("li", of_intervention(one.status), " ", h("a", { href: to(["intervention", one.id]) }, `${one.id}: ${plain(one.intervention_type)}`), h("p.quiet", `${one.policy ? `policy ${one.policy[0]}` : one.requested_by}: ${one.reason} `, time(one.created_at, "ago"))))) : h("p.empty", "Nothing had to be done."),
    why.evaluations.length ? [h("h3", "What was decided about it"), h("ul.interventions", why.evaluations.map((one) => h("li", h("a", { href: to(["policy", one.policy]) }, one.policy), ` v${one.version}: ${one.action_taken.join("; ") || "nothing"} `, h("span.quiet", time(one.at, "ago")), h("details", h("summary", { "data-k": `e-${one.id}` }, "How it came to that"), trace(one.decision_path)))))] : null);
}
