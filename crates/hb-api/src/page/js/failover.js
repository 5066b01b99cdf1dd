// What becomes of the page when its node is active no more: it looks for the node that goes on, and goes there.
import { is_open } from "./dialog.js";
import { address_of, state, touch } from "./store.js";

/** How often the others are asked. */
const EVERY_MS = 500;
/** How long one of them may take. */
const PATIENCE_MS = 1500;
const KEY = "hb.follow";

/** How often the page may be taken anew for the sake of nodes that joined. */
const AGAIN_MS = 30000;
const TAKEN = "hb.taken";

let known = [];
let allowed = null;
let was_active = false;
let searching = 0;

/** Whether the page goes where the active node is. */
export function follows() {
  try { return localStorage.getItem(KEY) !== "no"; } catch { return true; }
}

/** Chooses it. */
export function set_follows(yes) {
  try { localStorage.setItem(KEY, yes ? "yes" : "no"); } catch { /* For this page alone then: it goes on as it did. */ }
  touch("node");
}

/** A picture of the node came: who else is there is remembered, for the time when it cannot be asked any more. */
export function note(node) {
  const active = node.role === "active" || node.supervisor?.presence?.state === "active";
  if (node.nodes?.length) known = node.nodes.filter((one) => one.node !== node.node && one.listen).map((one) => ({ node: one.node, place: address_of(one) }));
  admit();
  if (active) {
    was_active = true;
    if (node.role === "active") stop();
  } else if (was_active && node.role !== "taking_over" && follows()) {
    // It was active and is not any more: a switchover, or another node took over.
    search("handed");
  }
}

/** The page may ask those nodes alone that were there when it was handed out: where one has joined it is taken anew, when nobody is at it. */
function admit() {
  const places = known.map((one) => one.place);
  allowed ??= new Set(places);
  const busy = is_open() || document.activeElement?.matches("input,textarea,select");
  if (busy || state.link !== "live" || places.every((place) => allowed.has(place))) return;
  try {
    if (Date.now() - Number(sessionStorage.getItem(TAKEN) ?? 0) < AGAIN_MS) return;
    sessionStorage.setItem(TAKEN, String(Date.now()));
  } catch { return; }
  location.reload();
}

/** The line is lost. */
export function lost() {
  if (was_active && follows() && known.length) search("lost");
}

/** The line is back. */
export function found() {
  if (state.node?.role === "active" || !was_active) stop();
}

function stop() {
  clearTimeout(searching);
  searching = 0;
}

/** Those that could go on. */
export function others() {
  return known;
}

function search(why) {
  if (searching) return;
  const turn = async () => {
    const place = await first_active();
    if (!searching) return;
    if (place) return move(place, why);
    searching = setTimeout(turn, EVERY_MS);
  };
  searching = setTimeout(turn, why === "lost" ? 300 : 50);
}

async function first_active() {
  const asked = known.map(async (one) => {
    const answer = await fetch(`${one.place}/active`, { cache: "no-store", mode: "cors", credentials: "omit", signal: AbortSignal.timeout(PATIENCE_MS) });
    const said = await answer.json();
    if (!answer.ok || said.role !== "active" || !said.alive) throw new Error("not active");
    return one;
  });
  return Promise.any(asked).catch(() => null);
}

function move(to, why) {
  state.link = "moving";
  state.moving_to = to.node;
  touch("link");
  const from = state.node?.node ?? "";
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?");
  const asked = new URLSearchParams(query);
  asked.set("from", from);
  asked.set("why", why);
  // The browser's own history does not keep a page that is gone.
  location.replace(`${to.place}/#${path || "/"}?${asked}`);
}

/** Whence the page came, told once; the address forgets it. */
export function arrived() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?");
  const asked = new URLSearchParams(query);
  const from = asked.get("from");
  if (!from) return null;
  const why = asked.get("why");
  asked.delete("from");
  asked.delete("why");
  const rest = asked.toString();
  history.replaceState(null, "", `#${path}${rest ? `?${rest}` : ""}`);
  return { from, why };
}
