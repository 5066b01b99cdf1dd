// Where the page stands: `#/watch/NAME?cycle=7`.

/** The present place: its parts, and what is asked of it. */
export function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { parts: path.split("/").filter(Boolean).map(decodeURIComponent), asked: new URLSearchParams(query) };
}

/** The address of a place. */
export function to(parts, asked = {}) {
  const query = new URLSearchParams(Object.entries(asked).filter(([, value]) => value !== null && value !== undefined && value !== "")).toString();
  return `#/${[].concat(parts).map(encodeURIComponent).join("/")}${query ? `?${query}` : ""}`;
}

/** Goes there. */
export function go(parts, asked) {
  location.hash = to(parts, asked);
}

/** Stays there, and notes what is asked of it now. */
export function note(asked) {
  const now = place();
  for (const [key, value] of Object.entries(asked)) {
    if (value === null || value === undefined || value === "") now.asked.delete(key);
    else now.asked.set(key, value);
  }
  history.replaceState(null, "", to(now.parts, Object.fromEntries(now.asked)));
}
