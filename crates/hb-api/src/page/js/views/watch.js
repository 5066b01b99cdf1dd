// One watch: its cycles as a band, what drives it, every series against its baseline, and the history of its baselines.
import { baseline as rule, button, sign } from "../actions.js";
import { ask, seg } from "../api.js";
import { Band } from "../band.js";
import { chart, spark } from "../chart.js";
import { frame, h, later, memo, text } from "../dom.js";
import { clock, count, duration, figure, many, plain, signed, time, without_status } from "../format.js";
import { List } from "../list.js";
import { note, to } from "../router.js";
import { icon, kind, of_status, sign as sign_of } from "../sign.js";
import { on, state } from "../store.js";
import { on_theme } from "../theme.js";

const ROW = 46;
/** Cycles that are read further back at a time. */
const FURTHER = 300;
/** Most cycles that are held. */
const HELD_MAX = 20000;
const LIMIT_RULES = { invariant_min: "at least", invariant_max: "at most", invariant_eq: "exactly", fail_threshold: "fails above" };

/** Shows the view. */
export function show(main, [name], asked) {
  const view = { name, cycle: null, detail: null, past: new Map(), wanted: new Set(), loading: false, oldest: false, filter: "", sort: "worst", series: asked.get("series"), fault: "", baselines: null };
  const head = h("div.watch-head");
  const band = new Band({ label: `Cycles of ${name}`, pick: (cycle) => pick(view, cycle), open: (cycle) => window.open(report(name, cycle), "_blank", "noopener"), older: () => older(view, band) });
  const cycle = h("section.box", { "aria-label": "The cycle" });
  const drivers = h("div");
  const closer = h("div.closer");
  const list = new List({ height: ROW, label: `Series of ${name}`, make: make_row, fill: (row, item) => fill_row(view, row, item), enter: (item) => choose(view, item.name),
    head: h("div.series-head", { role: "row" }, ["series", "now", "usual", "off by", "σ", "over the newest cycles"].map((word) => h("span", { role: "columnheader" }, word))) });
  const filter = h("input", { type: "search", placeholder: "Filter series", "aria-label": "Filter series", "data-k": "filter", oninput: () => { view.filter = filter.value.toLowerCase(); view.redraw(); } });
  const sort = h("select", { "aria-label": "Order of series", "data-k": "sort", onchange: () => { view.sort = sort.value; view.redraw(); } }, [["worst", "furthest first"], ["name", "by name"], ["drivers", "drivers only"]].map(([value, label]) => h("option", { value }, label)));
  const series_note = h("p.quiet");
  const versions = h("div");
  main.replaceChildren(head, h("section.box", { "aria-labelledby": "h-cycles" }, h("h2", { id: "h-cycles" }, "Cycles"), band.el), cycle,
    h("section.box", { "aria-labelledby": "h-series" }, h("h2", { id: "h-series" }, "Series"), h("div.tools", filter, sort, series_note), closer, list.el),
    h("section.box", { "aria-labelledby": "h-base" }, h("h2", { id: "h-base" }, "Baselines"), versions));
  list.shown = later(60, (first, last) => want_past(view, list.items.slice(first, last)));
  view.list = list;
  view.redraw = () => { draw_cycle(cycle, drivers, view); draw_series(list, series_note, closer, view); };
  const off = on_theme(() => view.redraw());
  const off_baselines = on((what) => { if (what.has(`baselines:${name}`)) take_baselines(view, versions); });
  begin(view, band, asked.get("cycle"));
  take_baselines(view, versions);
  const draw = (what) => {
    const watch = state.watches.get(name);
    if (what.has("all") || what.has(`watch:${name}`) || what.has("watches") || what.has("node")) draw_head(head, name, watch);
    if (watch && (what.has(`watch:${name}`) || what.has("all"))) came(view, band, watch);
  };
  return { draw, end: () => { band.end(); list.end(); off(); off_baselines(); }, moved: (_, next) => { const wanted = Number(next.get("cycle")); if (next.has("cycle") && wanted !== view.cycle) band.look(wanted); } };
}

const report = (name, cycle) => `/api/v1/watches/${seg(name)}/cycles/${cycle}/report`;

async function begin(view, band, wanted) {
  try {
    const recent = await ask(`/v1/watches/${seg(view.name)}/cycles?limit=200`);
    band.add(recent.cycles);
    view.asked_cycle = wanted;
    if (wanted !== null && Number(wanted) < band.first) await to_cycle(view, band, Number(wanted));
    if (band.lines.length) band.look(wanted === null ? band.last : Number(wanted));
    else { view.fault = "No cycle has been decided yet."; view.redraw(); }
  } catch (fault) {
    view.fault = fault.status === 404 ? `There is no watch ${view.name} here.` : fault.message;
    view.redraw();
  }
}

async function to_cycle(view, band, cycle) {
  for (let turn = 0; turn < 20 && band.first > cycle && !view.oldest; turn += 1) await older(view, band);
}

async function older(view, band) {
  if (view.loading || view.oldest || !band.lines.length || band.lines.length > HELD_MAX) return;
  view.loading = true;
  try {
    const found = await ask(`/api/v1/watches/${seg(view.name)}/cycles?before=${band.first}&limit=${FURTHER}`);
    if (!found.items.length || found.next === undefined) view.oldest = true;
    band.add(found.items);
  } catch (fault) {
    // Without a token, or without the journal, what is held is what there is.
    view.oldest = true;
    view.fault_older = fault.message;
  } finally {
    view.loading = false;
  }
}

/** A picture of the watch came: what is new of it goes into the band. */
function came(view, band, watch) {
  if (watch.cycle === null || !band.lines.length || watch.cycle <= band.last) {
    if (watch.cycle !== null && !band.lines.length) begin(view, band, null);
    return;
  }
  const newest = band.at === null || band.at === band.last;
  const missing = watch.cycle - band.last;
  const add = (lines) => { band.add(lines); if (newest && band.follow) band.look(band.last); };
  const line = { cycle: watch.cycle, status: watch.status, start_utc: watch.start_utc, end_utc: watch.end_utc, node: watch.node, headline: watch.headline, samples: watch.samples };
  if (missing === 1) add([line]);
  else ask(`/v1/watches/${seg(view.name)}/cycles?limit=${Math.min(1000, missing + 1)}`).then((found) => add(found.cycles)).catch(() => add([line]));
}

/** The newest cycle is told of before its record can be read everywhere: it is asked for again a few times. */
async function detail_of(view, cycle) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ask(`/api/v1/watches/${seg(view.name)}/cycles/${cycle}`);
    } catch (fault) {
      if (fault.status !== 404 || tries > 5 || view.cycle !== cycle) throw fault;
      await new Promise((go) => setTimeout(go, 200 * tries));
    }
  }
}

const fetch_cycle = later(90, async (view, cycle) => {
  try {
    const detail = await detail_of(view, cycle);
    if (view.cycle !== cycle) return;
    Object.assign(view, { detail, fault: "", locked: false });
    view.past.clear();
    view.wanted.clear();
  } catch (fault) {
    if (view.cycle !== cycle) return;
    Object.assign(view, { fault: fault.message, locked: fault.status === 401 });
  }
  view.redraw();
});

function pick(view, cycle) {
  if (view.cycle === cycle) return;
  view.cycle = cycle;
  const watch = state.watches.get(view.name);
  note({ cycle: watch?.cycle === cycle ? null : cycle });
  fetch_cycle(view, cycle);
}

function choose(view, series) {
  view.series = view.series === series ? null : series;
  note({ series: view.series });
  view.redraw();
}

const fetch_past = later(40, async (view) => {
  const names = [...view.wanted].slice(0, 60);
  for (const name of names) view.wanted.delete(name);
  if (!names.length || !view.detail) return;
  const { cycle } = view.detail;
  try {
    const found = await ask(`/api/v1/watches/${seg(view.name)}/cycles/${cycle}/past?names=${encodeURIComponent(names.join("\n"))}`);
    if (view.detail?.cycle !== cycle) return;
    for (const one of found.series) view.past.set(one.name, one);
    frame(view.list.draw);
    frame(view.redraw);
  } catch { /* A row without its past says less; the figures stand there. */ }
  if (view.wanted.size) fetch_past(view);
});

function want_past(view, items) {
  for (const item of items) if (item && !view.past.has(item.name)) view.wanted.add(item.name);
  if (view.wanted.size) fetch_past(view);
}

function draw_head(el, name, watch) {
  memo(el, watch ? [watch.status, watch.cycle, watch.since_utc, watch.headline, watch.source, watch.baseline, watch.lag_seconds && duration(watch.lag_seconds), watch.undelivered, watch.baseline_stale_sec] : "none", () => [
    h("p.crumbs", h("a", { href: "#/" }, "Overview"), " / watch"),
    h("h1", name, " ", watch ? of_status(watch.status) : null),
    watch ? h("p.headline", without_status(watch.headline), watch.since_utc ? h("span.quiet", " · so since ", time(watch.since_utc)) : null) : h("p.warn", icon("drift"), " This node does not have this watch."),
    watch ? h("dl.facts", [["cycle", count(watch.cycle)], ["lag", duration(watch.lag_seconds)], ["decided by", `${watch.node ?? "–"}, epoch ${watch.epoch}`], ["baseline", watch.baseline ? `${watch.baseline[0]} v${watch.baseline[1]}` : watch.learning_left ? `learning, ${many(watch.learning_left, "more cycle")}` : "none"], ["source", { open: "open", closed: "closed: read by the active node", ended: "at its end", failed: "cannot be read" }[watch.source?.state] ?? "–"], watch.undelivered ? ["alerts under way", count(watch.undelivered)] : null].filter(Boolean).map(([word, value]) => h("div", h("dt", word), h("dd", value)))) : null,
    watch?.source?.state === "failed" ? h("p.warn", icon("fail"), ` ${watch.source.reason}`) : null,
    watch?.baseline_stale_sec ? h("p.warn", icon("drift"), ` The baseline is ${duration(watch.baseline_stale_sec)} old: stale.`) : null,
  ]);
}

function draw_cycle(el, drivers, view) {
  const detail = view.detail?.cycle === view.cycle ? view.detail : null;
  memo(el, [view.cycle, detail?.hash, view.fault, view.locked], () => {
    if (!detail) return [h("h2", view.cycle === null ? "The cycle" : `Cycle ${count(view.cycle)}`), view.locked ? [h("p", "What stands in a cycle is shown to those who sign in."), h("div.buttons.left", button("Sign in", sign))] : view.fault ? h("p.warn", icon("drift"), ` ${view.fault}`) : h("p.loading", h("span.pulse"), "Reading the cycle …")];
    const { counts } = detail;
    const dropped = (detail.dropped ?? 0);
    return [
      h("div.cycle-head", h("h2", `Cycle ${count(detail.cycle)} `, of_status(detail.status)), h("a.button", { href: report(view.name, detail.cycle), target: "_blank", rel: "noopener" }, "Report ↗")),
      h("p", without_status(detail.headline)),
      h("dl.facts", [["from", clock(detail.start_utc)], ["to", clock(detail.end_utc)], ["closed by", { watermark: "newer samples", clock: "the clock: silence", end: "the source's end" }[detail.closed_by]], ["samples", count(detail.samples)], counts.late ? ["late", count(counts.late)] : null, dropped ? ["dropped", count(dropped)] : null, ["baseline", detail.baseline ? `${detail.baseline.tag} v${detail.baseline.version}` : "none"], ["record", `${detail.seq}, epoch ${detail.epoch}, ${detail.node}`], ["hash", h("code", detail.hash.slice(0, 12))]].filter(Boolean).map(([word, value]) => h("div", h("dt", word), h("dd", value)))),
      detail.drivers.length ? [h("h3", "What drives it"), h("ol.drivers", detail.drivers.slice(0, 12).map((driver) => one_driver(view, driver))), detail.drivers.length > 12 || detail.drivers_unnamed ? h("p.quiet", `and ${detail.drivers.length - Math.min(12, detail.drivers.length) + detail.drivers_unnamed} more, in the report`) : null] : h("p.quiet", "No series drives it."),
      detail.faults.length ? [h("h3", "Faults of the data"), h("ul", detail.faults.slice(0, 12).map((fault) => h("li", fault.series ? h("code", fault.series) : null, " ", fault.what)))] : null,
    ];
  });
  return drivers;
}

function one_driver(view, driver) {
  const tone = { FAIL: "fail", DRIFT: "drift", NOTICE: "nobase" }[driver.severity];
  return h("li", { class: `t-${tone}` },
    h("div", sign_of(tone, tone, plain(driver.severity)), " ", h("button.link", { type: "button", "data-k": `d-${driver.series}-${driver.rule}`, onclick: () => { view.series = null; choose(view, driver.series); document.querySelector(".closer")?.scrollIntoView({ block: "nearest" }); } }, driver.series), " ", h("span.chip", plain(driver.rule)), h("span.quiet", ` since cycle ${driver.onset}, `, time(driver.onset_utc), `, ${many(driver.persistence, "cycle")} in a row`)),
    h("p", driver.reason), driver.next ? h("p.quiet", "Next: ", driver.next) : null);
}

function draw_series(list, note_el, closer, view) {
  const detail = view.detail?.cycle === view.cycle ? view.detail : view.detail;
  const all = detail?.series ?? [];
  const found = all.filter((row) => (!view.filter || row.name.toLowerCase().includes(view.filter)) && (view.sort !== "drivers" || row.severity));
  const weight = (row) => ({ FAIL: 3e6, DRIFT: 2e6, NOTICE: 1e6 }[row.severity] ?? 0) + Math.min(9e5, Math.abs(row.sigmas ?? 0));
  found.sort((a, b) => (view.sort === "name" ? a.name.localeCompare(b.name) : weight(b) - weight(a) || a.name.localeCompare(b.name)));
  list.set(found);
  list.el.hidden = !found.length;
  text(note_el, !detail ? "" : !all.length ? "No series sent anything in this cycle." : `${found.length === all.length ? many(all.length, "series", "series") : `${count(found.length)} of ${many(all.length, "series", "series")}`}${detail.series_total > all.length ? `; the report and the journal hold all ${count(detail.series_total)}` : ""}. Enter or a click looks closer.`);
  const row = all.find((one) => one.name === view.series);
  const past = view.series ? view.past.get(view.series) : null;
  if (row && !past) want_past(view, [row]);
  memo(closer, row ? [row.name, detail.cycle, Boolean(past)] : "", () => (row ? make_closer(view, row, detail) : []));
  const canvas = closer.querySelector("canvas");
  if (row && canvas) {
    const drives = detail.drivers.filter((driver) => driver.series === row.name);
    const limits = drives.filter((driver) => LIMIT_RULES[driver.rule] && Number.isFinite(driver.limit)).map((driver) => ({ name: LIMIT_RULES[driver.rule], value: driver.limit }));
    chart(canvas, { past, usual: row.usual, unit: row.unit, limits, onset: drives.length ? Math.min(...drives.map((driver) => driver.onset)) : null, tone: tone_of(row) });
  }
}

const tone_of = (row) => ({ FAIL: "fail", DRIFT: "drift", NOTICE: "nobase" })[row.severity] ?? "pass";

function make_closer(view, row, detail) {
  const [mean, low_in, high_in, low, high] = row.usual ?? [];
  const words = row.usual ? `${row.name}: ${figure(row.current)} now, usually ${figure(mean)}, between ${figure(low)} and ${figure(high)}` : `${row.name}: ${figure(row.current)} now; the baseline does not know it`;
  return [h("div.closer-box",
    h("div.cycle-head", h("h3", row.name, row.severity ? [" ", sign_of(tone_of(row), tone_of(row), plain(row.severity))] : null), h("button.small", { type: "button", "data-k": "closer-x", onclick: () => choose(view, row.name) }, "Close")),
    h("canvas.chart", { role: "img", "aria-label": words }),
    h("dl.facts", [["now", `${figure(row.current)} ${row.unit}${row.read_as === "per_second" ? " per second" : ""}`], ["usual", row.usual ? `${figure(mean)} ± ${figure((high_in - low_in) / 2)}` : "not in the baseline"], ["range of the baseline", row.usual ? `${figure(low)} … ${figure(high)}` : "–"], ["off by", row.usual ? `${signed(100 * (row.current - mean) / Math.abs(mean || 1))} % · ${signed(row.sigmas)} σ` : "–"], ["readings", count(row.n)], ["min … max", `${figure(row.min)} … ${figure(row.max)}`], ["sd within", figure(row.sd)], row.not_finite ? ["not finite", count(row.not_finite)] : null, row.unit_faults ? ["of a wrong unit", count(row.unit_faults)] : null].filter(Boolean).map(([word, value]) => h("div", h("dt", word), h("dd", value)))),
    h("p.legend", h("span.swatch.inner"), "mean ± one standard deviation of the baseline's windows", h("span.swatch.outer"), "smallest to largest", h("span.quiet", ` up to cycle ${detail.cycle}`)))];
}

function make_row() {
  const row = h("div.series-row");
  row.cells = ["name", "now", "usual", "off", "sigmas"].map((name) => h("span", { class: `c-${name}`, role: "cell" }));
  row.canvas = h("canvas");
  row.append(...row.cells, h("span.c-past", { role: "cell" }, row.canvas));
  row.addEventListener("click", () => row.choose?.());
  return row;
}

function fill_row(view, row, item) {
  const [name, now, usual, off, sigmas] = row.cells;
  row.choose = () => choose(view, item.name);
  const tone = tone_of(item);
  const print = `${item.name}|${item.severity}|${item.current}|${view.series === item.name}`;
  if (row.print !== print) {
    row.print = print;
    row.className = `series-row list-row t-${item.severity ? tone : "none"}${view.series === item.name ? " chosen" : ""}`;
    name.replaceChildren(item.severity ? icon(tone) : "", h("span", { title: item.name }, item.name));
    text(now, item.n ? `${figure(item.current)}${item.unit ? ` ${item.unit}` : ""}` : "silent");
    text(usual, item.usual ? figure(item.usual[0]) : "–");
    text(off, item.usual && item.usual[0] && item.current !== null ? `${signed((100 * (item.current - item.usual[0])) / Math.abs(item.usual[0]))} %` : "");
    text(sigmas, item.sigmas === null ? "" : `${signed(item.sigmas)} σ`);
    row.drawn = null;
  }
  const past = view.past.get(item.name);
  if (past && row.drawn !== past) { row.drawn = past; spark(row.canvas, past, item.usual, item.severity ? tone : "ink"); }
  else if (!past && row.drawn !== null) { row.drawn = null; row.canvas.width = 1; }
}

async function take_baselines(view, el) {
  try { view.baselines = await ask(`/api/v1/watches/${seg(view.name)}/baselines`); view.baseline_fault = ""; } catch (fault) { view.baseline_fault = fault.message; }
  draw_baselines(view, el);
}

function draw_baselines(view, el) {
  const doc = view.baselines;
  memo(el, [doc, view.baseline_fault], () => {
    if (!doc) return [view.baseline_fault ? h("p.warn", icon("drift"), ` ${view.baseline_fault}`) : h("p.loading", h("span.pulse"), "Reading the versions …")];
    if (!doc.versions.length) return [h("p.empty", `The tag ${doc.tag} has no version yet. The watch learns one by itself, or `, h("code", "hb baseline learn"), " makes one.")];
    return [
      h("p.quiet", `Tag ${doc.tag}. ${doc.approval_required ? "Somebody else has to agree before a version is put in force." : ""}`),
      h("ol.versions", [...doc.versions].reverse().map((version) => one_version(view, doc, version))),
    ];
  });
}

function one_version(view, doc, version) {
  const current = doc.in_force === version.version;
  const closed = version.gates.filter((gate) => !gate.passed);
  const state_of = current ? sign_of("pass", "pass", "in force") : version.approved.length ? sign_of("person", "nobase", `agreed to by ${version.approved[0][0]}`) : version.requested ? sign_of("person", "drift", `asked for by ${version.requested[0]}`) : sign_of("none", "nodata", version.promotions ? "replaced" : "made");
  return h("li", { class: current ? "current" : "" },
    h("div.cycle-head", h("span", h("strong", `Version ${version.version}`), " ", state_of), h("span.buttons.left", current ? null : [button("Ask for it …", () => rule(view.name, doc, version, "request"), { k: `bq-${version.version}` }), version.requested ? button("Agree …", () => rule(view.name, doc, version, "approve"), { k: `ba-${version.version}` }) : null, button("Put in force …", () => rule(view.name, doc, version, "promote"), { danger: true, k: `bp-${version.version}` })])),
    h("p.quiet", "made ", time(version.made_utc), ` by ${version.provenance.by} from ${version.provenance.from}: ${many(version.provenance.windows, "window")}, ${many(version.series, "series", "series")}, ${count(version.provenance.samples)} samples`),
    h("details", h("summary", { "data-k": `gates-${version.version}` }, closed.length ? h("span.warn", `${many(closed.length, "gate")} closed: ${closed.map((gate) => gate.name).join(", ")}`) : `All ${many(version.gates.length, "gate")} open`), h("ul", version.gates.map((gate) => h("li", icon(gate.passed ? "pass" : "fail"), ` ${gate.name}: ${gate.detail}`)))));
}

export { kind, to };
