// Cycles as a band: each a column whose height and letter say what its colour says. It is zoomed, dragged and walked by keys, and reads further back
// when its beginning is reached.
import { frame, h, text } from "./dom.js";
import { clock, count, without_status } from "./format.js";
import { letter, LETTERS, of_status, rank } from "./sign.js";
import { colours, on_theme } from "./theme.js";

const HEIGHT = 84;
const MAP = 14;
/** Fewest columns that fill the width. */
const CLOSEST = 12;
/** From this width of a column on, its letter is written. */
const LETTER_WIDTH = 13;

/** Draws columns of letters into a box; where several share a pixel the worst is seen. */
export function columns(ctx, lines, first, from, to, x, y, width, height, letters) {
  const paint = colours();
  const step = width / (to - from);
  const begin = Math.max(Math.floor(from), first);
  const end = Math.min(Math.ceil(to), first + lines.length);
  ctx.save();
  ctx.beginPath();
  ctx.rect(x, y, width, height);
  ctx.clip();
  if (step >= 1) {
    for (let cycle = begin; cycle < end; cycle += 1) column(ctx, paint, lines[cycle - first], x + (cycle - from) * step, y, step, height, letters);
  } else {
    for (let pixel = 0; pixel < width; pixel += 1) {
      const low = Math.max(begin, Math.floor(from + pixel / step));
      const high = Math.min(end, Math.max(low + 1, Math.floor(from + (pixel + 1) / step)));
      let worst = null;
      for (let cycle = low; cycle < high; cycle += 1) { const mark = lines[cycle - first]; if (worst === null || badness(mark) > badness(worst)) worst = mark; }
      if (worst) column(ctx, paint, worst, x + pixel, y, 1, height, false);
    }
  }
  ctx.restore();
}

const badness = (mark) => rank(LETTERS[mark]?.word);

function column(ctx, paint, mark, x, y, width, height, letters) {
  const one = LETTERS[mark];
  if (!one) return;
  const gap = width > 5 ? 1 : 0;
  const tall = Math.round(height * one.height);
  const top = y + height - tall;
  ctx.fillStyle = paint[`${one.kind}-fill`];
  if (mark === "N") {
    ctx.strokeStyle = paint["nodata-fill"];
    ctx.lineWidth = 1;
    if (width >= 4) { ctx.strokeRect(x + 0.5, top + 0.5, width - gap - 1, tall - 1); ctx.globalAlpha = 0.18; ctx.fillRect(x, top, width - gap, tall); ctx.globalAlpha = 1; }
    else { ctx.globalAlpha = 0.45; ctx.fillRect(x, top, width, tall); ctx.globalAlpha = 1; }
  } else {
    ctx.fillRect(x, top, width - gap, tall);
  }
  if (mark === "F" && width >= 3) { ctx.fillStyle = paint.card; ctx.fillRect(x, y + height * 0.16, width - gap, 2); }
  if (mark === "D" && width >= 3) { ctx.fillStyle = paint.card; ctx.fillRect(x, top + 4, width - gap, 1.5); }
  if (letters && width >= LETTER_WIDTH) {
    ctx.fillStyle = mark === "N" ? paint.fg : paint[`on-${one.kind}`];
    ctx.font = "600 11px system-ui, sans-serif";
    ctx.textAlign = "center";
    ctx.fillText(mark, x + (width - gap) / 2, y + height - 6);
  }
}

/** Makes a canvas sharp; gives what draws on it. */
export function sharpen(canvas, width, height) {
  const ratio = Math.min(devicePixelRatio || 1, 3);
  const [wide, high] = [Math.max(1, Math.round(width * ratio)), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) { canvas.width = wide; canvas.height = high; canvas.style.height = `${height}px`; }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return ctx;
}

/** The short band of a watch on the overview, as a picture. */
export function small_band(canvas, letters) {
  const width = canvas.clientWidth || 300;
  const ctx = sharpen(canvas, width, 30);
  const slots = Math.max(60, letters.length);
  const paint = colours();
  ctx.fillStyle = paint.line;
  ctx.fillRect(0, 29, width, 1);
  columns(ctx, letters, slots - letters.length, 0, slots, 0, 0, width, 29, false);
}

/** The statuses of a short band in words. */
export function band_words(letters) {
  const counts = new Map();
  for (const mark of letters) counts.set(mark, (counts.get(mark) ?? 0) + 1);
  const told = [...counts].sort((a, b) => badness(b[0]) - badness(a[0])).map(([mark, n]) => `${n} ${LETTERS[mark]?.say ?? mark}`);
  return letters.length ? `Newest ${letters.length} cycles: ${told.join(", ")}` : "No cycle yet";
}

/** The large band. `pick(cycle)` is told what is looked at, `open(cycle)` what is to be opened, `older()` that more of the past is wanted. */
export class Band {
  constructor({ pick, open, older, label }) {
    Object.assign(this, { pick, open, older });
    this.lines = [];
    this.first = 0;
    this.marks = "";
    this.from = 0;
    this.to = 60;
    this.at = null;
    this.follow = true;
    this.canvas = h("canvas.band-canvas", { role: "slider", tabindex: "0", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "0", "aria-valuenow": "0", "data-k": "band" });
    this.map = h("canvas.band-map", { "aria-hidden": "true" });
    this.now = h("p.band-now");
    const tool = (words, name, act) => h("button.small", { type: "button", title: name, "aria-label": name, "data-k": `band-${name}`, onclick: act }, words);
    this.tools = h("div.band-tools", tool("−", "Zoom out", () => this.zoom(1.6)), tool("+", "Zoom in", () => this.zoom(1 / 1.6)), tool("All", "Show all that is loaded", () => this.show_all()),
      tool("Newest", "To the newest cycle", () => this.newest()), tool("◂ change", "To the change of status before", () => this.change(-1)), tool("change ▸", "To the next change of status", () => this.change(1)));
    this.el = h("div.band-box", this.tools, this.canvas, this.map, this.now);
    this.draw = this.draw.bind(this);
    this.listen();
    this.off_theme = on_theme(() => frame(this.draw));
    this.size = new ResizeObserver(() => frame(this.draw));
    this.size.observe(this.canvas);
  }

  end() {
    this.size.disconnect();
    this.off_theme();
  }

  /** Takes lines of cycles, oldest first, in with those that are held. */
  add(lines) {
    if (!lines.length) return;
    const all = new Map(this.lines.map((line) => [line.cycle, line]));
    for (const line of lines) all.set(line.cycle, line);
    const empty = !this.lines.length;
    this.lines = [...all.values()].sort((a, b) => a.cycle - b.cycle);
    this.first = this.lines[0].cycle;
    const marks = new Array(this.last - this.first + 1).fill("?");
    for (const line of this.lines) marks[line.cycle - this.first] = letter(line.status);
    this.marks = marks;
    if (empty) { this.to = this.last + 1; this.from = Math.max(this.first, this.to - 120); if (this.to - this.from < CLOSEST) this.from = this.to - CLOSEST; }
    else if (this.follow && this.to < this.last + 1) { const shift = this.last + 1 - this.to; this.from += shift; this.to += shift; }
    frame(this.draw);
  }

  get last() { return this.lines.length ? this.lines[this.lines.length - 1].cycle : -1; }

  line(cycle) {
    const guess = this.lines[cycle - this.first];
    return guess?.cycle === cycle ? guess : this.lines.find((line) => line.cycle === cycle);
  }

  /** Looks at a cycle. */
  look(cycle, { told = true } = {}) {
    if (!this.lines.length) return;
    this.at = Math.max(this.first, Math.min(this.last, cycle));
    const span = this.to - this.from;
    if (this.at < this.from) { this.from = this.at; this.to = this.from + span; }
    if (this.at >= this.to) { this.to = this.at + 1; this.from = this.to - span; }
    this.follow = this.to >= this.last + 1;
    if (this.at - this.first < 10) this.older?.();
    if (told) this.pick(this.at);
    frame(this.draw);
  }

  zoom(factor, around = this.at ?? this.to) {
    const most = Math.max(CLOSEST, this.last - this.first + 1);
    const span = Math.max(CLOSEST, Math.min(most, (this.to - this.from) * factor));
    const share = (around - this.from) / (this.to - this.from);
    this.range(around - share * span, span);
    if (span >= most) this.older?.();
  }

  range(from, span) {
    this.from = Math.max(Math.min(this.first, this.last + 1 - span), Math.min(from, this.last + 1 - span));
    this.to = this.from + span;
    this.follow = this.to >= this.last + 1;
    if (this.from <= this.first + 2) this.older?.();
    frame(this.draw);
  }

  show_all() { this.from = this.first; this.to = Math.max(this.last + 1, this.first + CLOSEST); this.follow = true; this.older?.(); frame(this.draw); }

  newest() { this.follow = true; const span = this.to - this.from; this.to = this.last + 1; this.from = this.to - span; this.look(this.last); }

  change(way) {
    let at = this.at ?? this.last;
    const mark = this.marks[at - this.first];
    while (at + way >= this.first && at + way <= this.last) { at += way; if (this.marks[at - this.first] !== mark) break; }
    this.look(at);
  }

  listen() {
    const place = (event) => { const box = this.canvas.getBoundingClientRect(); return this.from + ((event.clientX - box.left) / box.width) * (this.to - this.from); };
    let held = null;
    this.canvas.addEventListener("pointerdown", (event) => { held = { x: event.clientX, from: this.from, moved: false, touch: event.pointerType === "touch" }; this.canvas.setPointerCapture(event.pointerId); });
    this.canvas.addEventListener("pointermove", (event) => {
      const cycle = Math.floor(place(event));
      if (!held) return this.hover(cycle);
      const moved = event.clientX - held.x;
      if (Math.abs(moved) > 4) held.moved = true;
      if (event.shiftKey || held.touch) { if (held.moved) this.range(held.from - (moved / this.canvas.clientWidth) * (this.to - this.from), this.to - this.from); }
      else this.look(cycle);
      return undefined;
    });
    this.canvas.addEventListener("pointerup", (event) => { if (held && (!held.moved || !(event.shiftKey || held.touch))) this.look(Math.floor(place(event))); held = null; });
    this.canvas.addEventListener("pointerleave", () => this.hover(null));
    this.canvas.addEventListener("dblclick", () => this.at !== null && this.open(this.at));
    this.canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY) && !event.shiftKey && document.activeElement !== this.canvas) return;
      event.preventDefault();
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : event.shiftKey ? event.deltaY : 0;
      if (sideways) this.range(this.from + (sideways / this.canvas.clientWidth) * (this.to - this.from), this.to - this.from);
      else this.zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, place(event));
    }, { passive: false });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.map.addEventListener("pointerdown", (event) => { const box = this.map.getBoundingClientRect(); const span = this.to - this.from; this.range(this.first + ((event.clientX - box.left) / box.width) * (this.last + 1 - this.first) - span / 2, span); });
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.at ?? this.last;
    const step = event.shiftKey ? 10 : 1;
    const acts = {
      ArrowLeft: () => this.look(at - step), ArrowRight: () => this.look(at + step), ArrowDown: () => this.look(at - step), ArrowUp: () => this.look(at + step),
      PageUp: () => this.look(at + 10), PageDown: () => this.look(at - 10), Home: () => this.look(this.first), End: () => this.newest(),
      "+": () => this.zoom(1 / 1.6), "=": () => this.zoom(1 / 1.6), "-": () => this.zoom(1.6), 0: () => this.show_all(),
      p: () => this.change(-1), n: () => this.change(1), Enter: () => this.open(at),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    acts[event.key]();
  }

  hover(cycle) {
    const line = cycle === null ? null : this.line(cycle);
    this.over = line ? cycle : null;
    frame(this.draw);
  }

  draw() {
    if (!this.el.isConnected) return;
    const width = this.canvas.clientWidth;
    const ctx = sharpen(this.canvas, width, HEIGHT);
    const paint = colours();
    const base = HEIGHT - 18;
    ctx.fillStyle = paint.sunk;
    ctx.fillRect(0, 0, width, base);
    columns(ctx, this.marks, this.first, this.from, this.to, 0, 4, width, base - 4, true);
    const step = width / (this.to - this.from);
    this.axis(ctx, paint, width, base);
    for (const [cycle, strong] of [[this.over, false], [this.at, true]]) {
      if (cycle === null || cycle === undefined) continue;
      const x = (cycle - this.from) * step;
      ctx.strokeStyle = paint.fg;
      ctx.lineWidth = strong ? 2 : 1;
      ctx.strokeRect(x - 0.5, 1, Math.max(step, 3) + 0.5, base - 1);
      if (strong) { ctx.fillStyle = paint.fg; ctx.beginPath(); ctx.moveTo(x + step / 2 - 6, base + 8); ctx.lineTo(x + step / 2 + 6, base + 8); ctx.lineTo(x + step / 2, base + 1); ctx.fill(); }
    }
    this.draw_map(paint);
    this.tell();
  }

  axis(ctx, paint, width, base) {
    ctx.fillStyle = paint.muted;
    ctx.font = "11px system-ui, sans-serif";
    const ticks = Math.max(2, Math.floor(width / 150));
    for (let tick = 0; tick <= ticks; tick += 1) {
      const cycle = Math.round(this.from + ((this.to - this.from - 1) * tick) / ticks);
      const line = this.line(cycle);
      if (!line) continue;
      ctx.textAlign = tick === 0 ? "left" : tick === ticks ? "right" : "center";
      ctx.fillText(`${clock(line.end_utc)}  #${cycle}`, (width * tick) / ticks, base + 14);
    }
  }

  draw_map(paint) {
    const width = this.map.clientWidth;
    const ctx = sharpen(this.map, width, MAP);
    const all = this.last + 1 - this.first;
    if (all <= 0) return;
    columns(ctx, this.marks, this.first, this.first, this.last + 1, 0, 0, width, MAP, false);
    const [x, wide] = [((this.from - this.first) / all) * width, ((this.to - this.from) / all) * width];
    ctx.fillStyle = paint.bg;
    ctx.globalAlpha = 0.62;
    ctx.fillRect(0, 0, Math.max(0, x), MAP);
    ctx.fillRect(x + wide, 0, Math.max(0, width - x - wide), MAP);
    ctx.globalAlpha = 1;
    ctx.strokeStyle = paint.fg;
    ctx.strokeRect(Math.max(0.5, x), 0.5, Math.min(width - 1, wide), MAP - 1);
  }

  tell() {
    const cycle = this.over ?? this.at ?? this.last;
    const line = this.line(cycle);
    const c = this.canvas;
    c.setAttribute("aria-valuemin", Math.max(0, this.first));
    c.setAttribute("aria-valuemax", Math.max(0, this.last));
    c.setAttribute("aria-valuenow", Math.max(0, this.at ?? this.last));
    const at = this.line(this.at ?? this.last);
    c.setAttribute("aria-valuetext", at ? `cycle ${at.cycle}, ${at.status}, ${without_status(at.headline)}` : "no cycle");
    if (!line) return text(this.now, "No cycle has been decided yet.");
    const print = `${line.cycle} ${line.status}`;
    if (this.told === print) return undefined;
    this.told = print;
    this.now.replaceChildren(h("strong", `Cycle ${count(line.cycle)}`), " ", of_status(line.status), h("span.quiet", ` ${clock(line.start_utc)} – ${clock(line.end_utc)}, by ${line.node} `), h("span.headline", without_status(line.headline)));
    return undefined;
  }
}
