// What an operator may do. Each is asked for, says what follows, and is done by the API under the token of whoever sits here.
import { ask, seg } from "./api.js";
import { confirm, open } from "./dialog.js";
import { h } from "./dom.js";
import { sign_in, token } from "./session.js";
import { active_node, address_of, state, touch } from "./store.js";
import { put, refresh } from "./supervised.js";

const post = (path, body) => ask(path, { method: "POST", body });
const put_to = (path, body) => ask(path, { method: "PUT", body });

let note_timer = 0;

/** Says for a moment what came of something. */
export function say(words) {
  const el = document.getElementById("notice");
  el.textContent = words;
  el.classList.add("shown");
  clearTimeout(note_timer);
  note_timer = setTimeout(() => el.classList.remove("shown"), 7000);
}

/** A button for an action. */
export function button(label, act, { danger = false, k, small = true, title } = {}) {
  return h("button", { type: "button", class: `${danger ? "danger" : ""}${small ? " small" : ""}`, title, "data-k": k ?? `act-${label}`, onclick: act }, label);
}

/** Takes a token. */
export async function sign() {
  await open("Who are you?", (close) => {
    const fault = h("p.fault", { role: "alert", hidden: true });
    const input = h("input", { id: "f-token", type: "password", autocomplete: "off", spellcheck: "false", "data-first": true });
    const form = h("form", { onsubmit: async (event) => {
      event.preventDefault();
      const before = token();
      sign_in(input.value);
      try {
        await ask(state.hello?.supervises ? "/api/v1/status" : "/api/v1/orders");
        close(true);
        say(input.value.trim() ? "Signed in for this tab." : "Signed out.");
      } catch (problem) {
        if (!input.value.trim()) return close(true);
        sign_in(before);
        fault.hidden = false;
        fault.textContent = problem.message;
      }
      return undefined;
    } },
    h("p", "Looking is open on this machine where no tokens are set up; to change something, show a token: the one in ", h("code", "output_dir/api.token"), ", or yours of the ", h("code", "tokens_file"), "."),
    h("p.quiet", "It is kept for this tab alone, and shown to this node alone."),
    h("p.field", h("label", { for: "f-token" }, "Token"), input),
    fault,
    h("div.buttons", token() ? h("button", { type: "button", onclick: () => { sign_in(""); close(true); } }, "Sign out") : null, h("button.primary", { type: "submit" }, "Sign in")));
    return form;
  });
}

/** The active node hands over. */
export function switchover() {
  const nodes = (state.node?.nodes ?? []).filter((node) => node.role === "standby" && node.priority > 0);
  const active = active_node();
  const fleet = Boolean(state.node?.holders);
  return confirm({
    title: "Hand over to another node",
    what: fleet ? "All watches of a node move to the others." : `${active?.node ?? "The active node"} closes its cycle and hands over; the other goes on with the next one.`,
    consequences: ["No cycle is lost and none is decided twice.", "It takes a moment; this page goes to the node that goes on.", nodes.length || fleet ? null : "No node stands by that could go on: it will be refused."].filter(Boolean),
    verb: "Hand over",
    danger: true,
    fields: [
      fleet ? { name: "from", label: "From", options: (state.node?.nodes ?? []).filter((node) => node.role !== "down").map((node) => [node.node, node.node]) } : null,
      { name: "to", label: "To", options: [["", "whoever stands first in line"], ...nodes.map((node) => [node.node, `${node.node} (priority ${node.priority})`])] },
    ].filter(Boolean),
    act: async ({ reason, to, from }) => {
      await post("/api/v1/switchover", { reason, to: to || null, from: from || null });
      say("Asked to hand over.");
      follow_switchover();
    },
  });
}

/** Tells how a switchover ends. */
async function follow_switchover() {
  for (let turn = 0; turn < 40; turn += 1) {
    await new Promise((done) => setTimeout(done, 500));
    try {
      const orders = await ask("/api/v1/orders");
      if (!orders.switchover && orders.settled) return say(`${orders.settled.end === "done" ? "Handed over" : "Not handed over"}: ${orders.settled.what}`);
    } catch { /* The page goes to the node that goes on, or says that this one does not answer. */ }
  }
  return undefined;
}

/** Nobody takes over, or standbys may again. */
export function pause_takeovers(paused) {
  return confirm(paused
    ? { title: "End the pause", what: "Standbys take over again when the active node ends.", verb: "End the pause", act: async ({ reason }) => { await post("/api/v1/takeovers/resume", { reason }); say("The pause is over."); } }
    : {
      title: "Pause takeovers", what: "For maintenance: nobody takes over until it is resumed. The active node works on.",
      consequences: ["If the active node dies meanwhile, nothing is decided until somebody ends the pause. No data is lost: it is read again where the source can be."],
      verb: "Pause takeovers", danger: true,
      act: async ({ reason }) => { await post("/api/v1/takeovers/pause", { reason }); say("Takeovers are paused."); },
    });
}

/** Something is done to an agent. */
export function agent(agent, verb) {
  const path = `/api/v1/agents/${seg(agent.id)}`;
  const declared = agent.origin === "declared";
  const kinds = {
    restart: { title: `Restart ${agent.id}`, what: "It is stopped and started, as an intervention that is on record.", consequences: [`It has been restarted ${agent.restart_count} times so far.`, agent.current_task_id ? `It is at task ${agent.current_task_id}.` : null] },
    stop: { title: `Stop ${agent.id}`, what: "It is not to run until somebody starts it.", consequences: [declared ? "The configuration declares it: a reload may want it to run again." : null] },
    start: { title: `Start ${agent.id}`, what: "It is to run; a give-up is taken back." },
    quarantine: { title: `Quarantine ${agent.id}`, what: "It is stopped and set aside until somebody releases it.", danger: true },
    release: { title: `Release ${agent.id}`, what: "It is taken out of quarantine. What shows that it is well again stands in the record.", reason: "needed" },
  };
  const { title, what, consequences = [], danger = false, reason = "optional" } = kinds[verb];
  const bodies = { release: ({ reason: said }) => ({ evidence: said }), restart: ({ reason: said }) => ({ reason: said }), quarantine: ({ reason: said }) => ({ reason: said }) };
  return confirm({
    title, what, consequences: consequences.filter(Boolean), danger, reason: bodies[verb] ? reason : "none", verb: title.split(" ")[0],
    act: async (given) => {
      const answer = await post(`${path}/${verb}`, bodies[verb]?.(given));
      if (answer?.intervention_type) put("interventions", answer);
      say(answer?.status === "PENDING" ? `${answer.id} waits: ${answer.approval_reasons?.[0] ?? "for its turn"}` : `${title}: begun.`);
    },
  });
}

/** An intervention is agreed to, refused, settled, or undone. */
export function intervention(one, verb) {
  const kinds = {
    approve: { title: `Agree to ${one.id}`, what: h("span", one.intervention_type, " on ", h("code", one.target_id), " will begin."), verb: "Agree", consequences: [`Asked for by ${one.requested_by}: ${one.reason}`, "Nobody agrees to what they asked for themselves: a second person is needed.", ...(one.approval_reasons ?? [])], danger: true },
    reject: { title: `Refuse ${one.id}`, what: "It will not be done.", verb: "Refuse" },
    rollback: { title: `Undo ${one.id}`, what: "What it did is taken back, as far as it can be.", verb: "Undo", danger: true },
    settle: { title: `Settle ${one.id}`, what: "It was begun, and its end cannot be learned. Say what you found it came to.", verb: "Settle", fields: [{ name: "outcome", label: "It was", options: [["done", "done"], ["not_done", "not done"]] }] },
  };
  const { title, what, verb: word, consequences = [], danger = false, fields = [] } = kinds[verb];
  return confirm({
    title, what, consequences, danger, fields, verb: word,
    act: async (given) => {
      const path = `/api/v1/interventions/${seg(one.id)}/${verb}`;
      const body = verb === "settle" ? settlement(given) : { reason: given.reason };
      const answer = await (verb === "rollback" ? post(path, body) : put_to(path, body));
      put("interventions", answer);
      say(`${one.id} is ${String(answer?.status ?? "").toLowerCase().replaceAll("_", " ")}.`);
    },
  });
}

function settlement({ outcome, reason }) {
  return { done: outcome === "done", reason };
}

/** A supervisor is paused, resumed, stopped, or tried again. */
export function supervisor(one, verb) {
  const kinds = {
    pause: { title: `Pause ${one.name}`, what: "It neither monitors nor intervenes until it is resumed; also across restarts of hb.", word: "Pause" },
    resume: { title: `Resume ${one.name}`, what: "It monitors and intervenes again.", word: "Resume" },
    stop: { title: `End ${one.name}`, what: "It is over, for ever. Its agents are left as they are.", word: "End it", danger: true, type: one.id },
    restart: { title: `Restart ${one.name}`, what: "It tries again after it has failed.", word: "Restart" },
  };
  const { title, what, word, danger = false, type = null } = kinds[verb];
  return confirm({ title, what, verb: word, danger, type, reason: "none", act: async () => { put("supervisors", await post(`/api/v1/supervisors/${seg(one.id)}/${verb}`)); say(`${title}: done.`); } });
}

/** A group of alerts is closed. */
export function resolve(group) {
  return confirm({ title: `Close ${group.id}`, what: group.correlation_summary || group.group_key, consequences: ["Somebody has seen to it. Another alert opens a new group."], verb: "Close it", reason: "none",
    act: async () => { await post(`/api/v1/alerts/${seg(group.id)}/resolve`); state.groups.delete(group.id); touch("groups"); say(`${group.id} is closed.`); } });
}

/** Somebody takes note of an event. */
export function acknowledge(event) {
  return confirm({ title: `Take note of event ${event.id}`, what: event.message, verb: "Take note",
    act: async ({ reason }) => {
      const answer = await post(`/api/v1/events/${event.id}/acknowledge`, { note: reason });
      const known = state.events.find((one) => one.id === event.id);
      if (known) known.acknowledged = answer.acknowledged;
      touch("events");
      say(`You took note of event ${event.id}.`);
    } });
}

/** A policy is put in force, taken out of force, agreed to, or an older version comes back. */
export function policy(one, verb, version = null) {
  const kinds = {
    activate: { title: `Put ${one.name}${version ? ` version ${version}` : ""} in force`, what: "Its supervisors act by it from now on.", word: "Put in force", danger: true },
    deactivate: { title: `Take ${one.name} out of force`, what: "Nothing is done by it until a version is put in force again.", word: "Take out of force" },
    approve: { title: `Agree to ${one.name}${version ? ` version ${version}` : ""}`, what: "It is dangerous: somebody other than its author has to agree.", word: "Agree", danger: true },
    rollback: { title: `Back to ${version ? `version ${version}` : "the version before"} of ${one.name}`, what: "An older version is put in force.", word: "Roll back" },
  };
  const { title, what, word, danger = false } = kinds[verb];
  return confirm({ title, what, verb: word, danger, reason: "none", act: async () => { await post(`/api/v1/policies/${seg(one.name)}/${verb}`, version && verb !== "deactivate" ? { version } : undefined); refresh("policies"); touch("policy"); say(`${title}: done.`); } });
}

/** A version of a baseline is asked for, agreed to, or put in force. */
export function baseline(watch, doc, version, verb) {
  const closed = version.gates.filter((gate) => !gate.passed);
  const unapproved = doc.approval_required && !version.approved.length;
  const kinds = {
    request: { title: `Ask for version ${version.version}`, what: "Somebody else is to agree that it becomes what normal is.", word: "Ask for it" },
    approve: { title: `Agree to version ${version.version}`, what: "Nobody agrees to what they asked for themselves: a second person is needed.", word: "Agree" },
    promote: { title: `Put version ${version.version} in force`, what: "From the next cycle on this is what normal is.", word: "Put in force", danger: true },
  };
  const { title, what, word, danger = false } = kinds[verb];
  const held = verb === "promote" && (closed.length > 0 || unapproved);
  return confirm({
    title, what, verb: word, danger, reason: held ? "needed" : "optional",
    consequences: [
      `Learned from ${version.provenance.from}: ${version.provenance.windows} windows, ${version.series} series.`,
      version.requested ? `Asked for by ${version.requested[0]}: ${version.requested[1]}` : null,
      ...closed.map((gate) => `Gate closed: ${gate.name}: ${gate.detail}`),
      unapproved && verb === "promote" ? "Nobody else has agreed to it yet." : null,
    ].filter(Boolean),
    fields: held ? [{ name: "force", type: "checkbox", label: "Put it in force although that is so; the record says that I did" }] : [],
    act: async ({ reason, force }) => {
      const answer = await post(`/api/v1/watches/${seg(watch)}/baselines/${version.version}/${verb}`, verb === "promote" ? { reason, force: Boolean(force) } : { reason });
      say(`${title}: done.`);
      touch(`baselines:${watch}`);
      return answer;
    },
  });
}

/** The address of the active node's page, if another is active. */
export function active_place() {
  const active = active_node();
  if (!active || active.node === state.node?.node) return null;
  return { node: active.node, place: address_of(active) };
}
