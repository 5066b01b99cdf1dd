// What is known of the supervisor: taken whole once, and then what each event touches.
import { all, ask } from "./api.js";
import { later } from "./dom.js";
import { EVENTS_MAX, state, take_event, touch } from "./store.js";

/** Events that are taken at first. */
const EVENTS = 300;
/** Interventions that are taken at first. */
const INTERVENTIONS = 200;

const by = (items, key = "id") => new Map(items.map((item) => [item[key], item]));

let turn = 0;

/** Takes everything anew. */
export async function take_all() {
  const hello = state.hello;
  if (!hello?.supervises) { state.supervised = "none"; return touch("supervised"); }
  if (!hello.looks) { state.supervised = "locked"; return touch("supervised"); }
  const mine = ++turn;
  if (state.supervised !== "ready") state.supervised = "loading";
  touch("supervised");
  try {
    const [supervisors, teams, agents, policies, interventions, groups, events] = await Promise.all([
      all("/api/v1/supervisors"), all("/api/v1/teams"), all("/api/v1/agents"), all("/api/v1/policies"),
      ask(`/api/v1/interventions?limit=${INTERVENTIONS}`), ask("/api/v1/alerts?open=true&limit=1000"), ask(`/api/v1/events?limit=${EVENTS}`),
    ]);
    if (mine !== turn) return;
    Object.assign(state, { supervisors: by(supervisors), teams: by(teams), agents: by(agents), policies: by(policies, "name"), interventions: by(interventions.items), groups: by(groups.items) });
    const newest = events.items[0]?.id ?? -1;
    const came = state.events.filter((event) => event.id > newest);
    state.events = [...came, ...events.items].slice(0, EVENTS_MAX);
    Object.assign(state, { supervised: "ready", trouble: "" });
  } catch (fault) {
    if (mine !== turn) return;
    Object.assign(state, { supervised: state.supervised === "ready" ? "ready" : "failed", trouble: fault.message });
    setTimeout(() => mine === turn && take_all(), 2000);
  }
  touch("supervised", "agents", "supervisors", "teams", "policies", "interventions", "groups", "events");
}

const wanted = { interventions: new Set(), groups: false, supervisors: false, teams: false, policies: false };

const fetch_touched = later(120, async () => {
  const ids = [...wanted.interventions];
  wanted.interventions.clear();
  const lists = ["supervisors", "teams", "policies"].filter((list) => wanted[list]);
  for (const list of lists) wanted[list] = false;
  const groups = wanted.groups;
  wanted.groups = false;
  const work = [
    ...ids.slice(0, 100).map(async (id) => { state.interventions.set(id, await ask(`/api/v1/interventions/${encodeURIComponent(id)}`)); touch("interventions"); }),
    ...lists.map(async (list) => { state[list] = by(await all(`/api/v1/${list}`), list === "policies" ? "name" : "id"); touch(list); }),
  ];
  if (groups) work.push(ask("/api/v1/alerts?open=true&limit=1000").then((found) => { state.groups = by(found.items); touch("groups"); }));
  // What could not be had comes with the next event, or when everything is taken anew.
  await Promise.allSettled(work);
});

/** An event came: what it is about is taken again. */
export function take(event) {
  take_event(event);
  const about = event.about ?? {};
  if (about.intervention) wanted.interventions.add(about.intervention);
  if (about.group || /^alert/.test(event.kind) || about.agent) wanted.groups = true;
  if (/^supervisor\./.test(event.kind)) wanted.supervisors = true;
  if (/^team\./.test(event.kind)) wanted.teams = true;
  if (/^policy\./.test(event.kind) || about.policy) wanted.policies = true;
  fetch_touched();
}

/** A change was made here: what it touches is taken again at once. */
export function refresh(...lists) {
  for (const list of lists) wanted[list] = true;
  fetch_touched();
}

/** Takes one thing as an answer gave it. */
export function put(list, item, key = "id") {
  if (item?.[key]) { state[list].set(item[key], item); touch(list); }
}
