// How figures and times are written.
import { h } from "./dom.js";

/** A figure with four digits that tell. */
export function figure(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e9 || size < 1e-4) return value.toExponential(2).replace("e+", "e");
  if (size >= 1e4) return Math.round(value).toLocaleString("en-US").replaceAll(",", "\u202f");
  return String(Number(value.toPrecision(4)));
}

/** With its sign. */
export function signed(value, digits = 1) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  return `${value >= 0 ? "+" : "−"}${Math.abs(value) >= 1000 ? figure(Math.abs(value)) : Math.abs(value).toFixed(digits)}`;
}

/** A whole number. */
export function count(value) {
  return (value ?? 0).toLocaleString("en-US").replaceAll(",", "\u202f");
}

/** `1 watch`, `2 watches`. */
export function many(n, one, more = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : more}`;
}

/** A length of time in the one or two units that tell. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  const sec = Math.abs(seconds);
  if (sec < 0.001) return `${Math.round(sec * 1e6)} µs`;
  if (sec < 1) return `${Math.round(sec * 1000)} ms`;
  if (sec < 10) return `${sec.toFixed(1)} s`;
  if (sec < 100) return `${Math.round(sec)} s`;
  const min = Math.round(sec / 60);
  if (min < 100) return `${min} min`;
  if (min < 60 * 48) return `${Math.floor(min / 60)} h ${min % 60} min`;
  return `${Math.floor(min / 1440)} d ${Math.floor((min % 1440) / 60)} h`;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long", hourCycle: "h23" });

/** The clock time of a moment; with its day where that is another than today. */
export function clock(stamp) {
  const at = new Date(stamp);
  if (Number.isNaN(at.getTime())) return "–";
  const today = new Date().toDateString() === at.toDateString();
  return today ? CLOCK.format(at) : `${DAY.format(at)} ${CLOCK.format(at)}`;
}

/** How long ago. */
export function ago(stamp, now = Date.now()) {
  const sec = (now - new Date(stamp).getTime()) / 1000;
  if (!Number.isFinite(sec)) return "–";
  if (sec < -2) return `in ${duration(-sec)}`;
  if (sec < 1.5) return "just now";
  return `${duration(Math.floor(sec))} ago`;
}

/** A moment that tells its age, kept fresh by the page's clock. */
export function time(stamp, style = "both") {
  if (!stamp) return h("span.quiet", "–");
  const el = h("time", { datetime: stamp, title: FULL.format(new Date(stamp)), data: { at: stamp, style } });
  el.textContent = told(stamp, style);
  return el;
}

function told(stamp, style) {
  if (style === "ago") return ago(stamp);
  if (style === "clock") return clock(stamp);
  if (style === "for") return duration(Math.max(0, Math.floor((Date.now() - new Date(stamp).getTime()) / 1000)));
  return `${clock(stamp)} (${ago(stamp)})`;
}

/** Keeps all moments on the page fresh. */
export function tick() {
  for (const el of document.querySelectorAll("time[data-at]")) {
    if (el.dataset.style === "clock") continue;
    const wanted = told(el.dataset.at, el.dataset.style);
    if (el.textContent !== wanted) el.textContent = wanted;
  }
}

/** `PASS_WITH_DRIFT` as people say it. */
export function plain(word) {
  return String(word ?? "").toLowerCase().replaceAll("_", " ");
}

/** A first letter in upper case. */
export function sentence(said) {
  return said ? said[0].toUpperCase() + said.slice(1) : "";
}

/** A headline without the status that stands beside it already. */
export function without_status(headline) {
  return (headline ?? "").replace(/^(PASS_WITH_DRIFT|PASS|FAIL|NO_DATA|NO_BASELINE): /, "");
}
