// Follows the node. The stream is read by hand, for it shows a token and says where it was left; so nothing is missed when it breaks, and a
// silence is noticed.
import { token } from "./session.js";

/** The node says that it lives every three seconds; after so long it is taken for lost. */
const SILENCE_MS = 9000;
const FIRST_WAIT_MS = 250;
const LAST_WAIT_MS = 4000;

/** Follows until it is stopped. `heard(event, data)` takes what comes, `link(state, why)` how the line is. */
export class Stream {
  constructor(heard, link) {
    this.heard = heard;
    this.link = link;
    this.id = "";
    this.wait = FIRST_WAIT_MS;
    this.stopped = true;
  }

  start() {
    if (!this.stopped) return;
    this.stopped = false;
    this.turn();
  }

  stop() {
    this.stopped = true;
    this.control?.abort();
    clearTimeout(this.timer);
  }

  /** Begins anew, with the whole picture. */
  again() {
    this.id = "";
    this.stop();
    this.start();
  }

  /** Tries now. */
  now() {
    if (this.stopped || this.control) return;
    clearTimeout(this.timer);
    this.turn();
  }

  async turn() {
    const control = new AbortController();
    this.control = control;
    let why = "the stream ended";
    let lost = true;
    try {
      lost = await this.follow(control);
    } catch (fault) {
      why = fault.refused ?? (control.signal.aborted ? "nothing was heard for too long" : "the node does not answer");
      if (fault.status === 401 || fault.status === 403) { this.link("refused", why); this.control = null; this.stopped = true; return; }
    } finally {
      clearTimeout(this.silence);
    }
    if (this.stopped || this.control !== control) return;
    this.control = null;
    // A stream that ended in good order is asked for again at once: that is no loss.
    if (lost) this.link("lost", why);
    this.timer = setTimeout(() => this.turn(), lost ? this.wait : 10);
    if (lost) this.wait = Math.min(this.wait * 1.7, LAST_WAIT_MS);
  }

  listen(control) {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => control.abort(), SILENCE_MS);
  }

  async follow(control) {
    const headers = { Accept: "text/event-stream" };
    if (this.id) headers["Last-Event-ID"] = this.id;
    if (token()) headers.Authorization = `Bearer ${token()}`;
    this.listen(control);
    const began = Date.now();
    const answer = await fetch("/v1/stream", { headers, cache: "no-store", signal: control.signal });
    if (!answer.ok) {
      const said = await answer.json().catch(() => ({}));
      throw Object.assign(new Error("refused"), { refused: said.message ?? said.error ?? `the node answered ${answer.status}`, status: answer.status });
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return Date.now() - began < 5000;
      this.listen(control);
      this.wait = FIRST_WAIT_MS;
      this.link("live");
      rest += value;
      for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
        this.take(rest.slice(0, end));
        rest = rest.slice(end + 2);
      }
    }
  }

  take(block) {
    let event = "message";
    let data = "";
    let id = null;
    for (const line of block.split("\n")) {
      if (line.startsWith("data: ")) data += line.slice(6);
      else if (line.startsWith("event: ")) event = line.slice(7);
      else if (line.startsWith("id: ")) id = line.slice(4);
    }
    if (data) this.heard(event, JSON.parse(data));
    if (id) this.id = id;
  }
}
