// What the page knows. Whoever draws asks here, and is told with the next frame that something is another.
import { frame } from "./dom.js";

/** Everything that is known. */
export const state = {
  /** `connecting`, `live`, `lost`, `moving`. */
  link: "connecting",
  /** When the link was lost. */
  lost_at: 0,
  /** When something was heard last. */
  heard_at: 0,
  hello: null,
  node: null,
  watches: new Map(),
  /** What only those see who may look at the supervisor. */
  agents: new Map(),
  supervisors: new Map(),
  teams: new Map(),
  policies: new Map(),
  interventions: new Map(),
  groups: new Map(),
  /** The newest events, the newest first. */
  events: [],
  /** Where the supervisor's part stands: `none`, `locked`, `loading`, `ready`, `failed`. */
  supervised: "none",
  trouble: "",
  role: null,
};

/** Most events that are held. */
export const EVENTS_MAX = 5000;

const listeners = new Set();
const changed = new Set();

/** Calls with the set of what changed, once a frame. Gives what ends it. */
export function on(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Something is another. */
export function touch(...topics) {
  for (const topic of topics) changed.add(topic);
  frame(deliver);
}

function deliver() {
  const what = new Set(changed);
  changed.clear();
  for (const listener of [...listeners]) listener(what);
}

/** A watch's picture came. */
export function take_watch(watch) {
  state.watches.set(watch.name, watch);
  touch("watches", `watch:${watch.name}`);
}

/** An event came; the newest stand first, none twice. */
export function take_event(event) {
  if (state.events[0]?.id >= event.id) return;
  state.events.unshift(event);
  if (state.events.length > EVENTS_MAX) state.events.length = EVENTS_MAX;
  if (event.kind === "event.acknowledged") {
    const about = state.events.find((one) => one.id === event.details?.event);
    if (about && !about.acknowledged) about.acknowledged = { by: event.by, at: event.at };
  }
  touch("events");
}

/** Where another node serves its page, if it does. */
export function address_of(node) {
  if (!node?.listen) return null;
  const split = node.listen.lastIndexOf(":");
  const host = node.listen.slice(0, split);
  const port = node.listen.slice(split + 1);
  // A node that listens everywhere is asked where this page was asked.
  const open = host === "0.0.0.0" || host === "[::]";
  const near = host === "127.0.0.1" || host === "[::1]";
  if (open && node.node !== state.node?.node) return `http://${node.host || location.hostname}:${port}`;
  if (open) return location.origin;
  if (near && ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname) && node.node === state.node?.node) return location.origin;
  return `http://${host}:${port}`;
}

/** The node that is active now, as far as is known. */
export function active_node() {
  const nodes = state.node?.nodes ?? [];
  return nodes.find((node) => node.role === "active") ?? nodes.find((node) => node.supervises === "active") ?? null;
}
