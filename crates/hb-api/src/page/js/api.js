// Asks the node, with the token of whoever sits here.
import { token } from "./session.js";

/** How long an answer may take. */
const PATIENCE = 15000;

/** Why something was not answered as it was meant. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.message ?? (typeof body?.error === "string" ? body.error : "") ?? "");
    this.status = status;
    this.word = body?.error;
    this.details = body?.details ?? {};
    if (!this.message) this.message = status ? `the node answered ${status}` : "the node does not answer";
  }
}

/** Asks; gives the document. */
export async function ask(path, { method = "GET", body, signal } = {}) {
  const headers = {};
  const shown = token();
  if (shown) headers.Authorization = `Bearer ${shown}`;
  if (method !== "GET") headers["Content-Type"] = "application/json";
  const limits = [AbortSignal.timeout(PATIENCE), signal].filter(Boolean);
  let answer;
  try {
    answer = await fetch(path, { method, headers, cache: "no-store", signal: AbortSignal.any(limits), body: method === "GET" ? undefined : JSON.stringify(body ?? {}) });
  } catch (fault) {
    if (signal?.aborted) throw fault;
    throw new Problem(0, { message: fault.name === "TimeoutError" ? "the node did not answer in time: look whether it was done" : "the node does not answer" });
  }
  const text = await answer.text();
  let document = null;
  try { document = text ? JSON.parse(text) : null; } catch { document = { message: text.slice(0, 300) }; }
  if (!answer.ok) throw new Problem(answer.status, document);
  return document;
}

/** All parts of a list of what there is now. */
export async function all(path, most = 20000) {
  const items = [];
  for (let skip = 0; items.length < most;) {
    const part = await ask(`${path}${path.includes("?") ? "&" : "?"}limit=1000&skip=${skip}`);
    items.push(...part.items);
    if (part.next === undefined || !part.items.length) break;
    skip = part.next;
  }
  return items;
}

/** A part of a path. */
export const seg = encodeURIComponent;
