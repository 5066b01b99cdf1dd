// Whose token is shown. It is kept for this tab alone, and goes nowhere but into requests to this node.

const KEY = "hb.token";
let held = null;
const listeners = new Set();

/** The token, if there is one. */
export function token() {
  if (held === null) {
    try { held = sessionStorage.getItem(KEY) ?? ""; } catch { held = ""; }
  }
  return held;
}

/** Takes another one, or none. */
export function sign_in(next) {
  held = next.trim();
  try {
    if (held) sessionStorage.setItem(KEY, held);
    else sessionStorage.removeItem(KEY);
  } catch { /* It is held in this page alone then. */ }
  for (const told of listeners) told();
}

/** Tells when it is another. */
export function on_session(told) {
  listeners.add(told);
}
