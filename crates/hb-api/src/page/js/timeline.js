// Who worked when: a line for each node, a bar for each reign, and where it changed hands.
import { h, s } from "./dom.js";
import { clock, duration } from "./format.js";

const ROW = 30;
const LEFT = 110;

/** A picture of reigns, oldest first, over a width; and the same in words for who cannot see it. */
export function timeline(reigns, nodes, width) {
  const names = [...new Set([...nodes.map((node) => node.node), ...reigns.map((reign) => reign.node)])];
  const now = Date.now();
  const at = (stamp) => new Date(stamp).getTime();
  const begins = reigns.map((reign) => at(reign.since));
  // Many short reigns long ago would press the newest ones together: a reign has at least its share of the width.
  const share = begins.map((begin, place) => Math.log1p(Math.max(1, ((begins[place + 1] ?? now) - begin) / 1000)));
  const total = share.reduce((sum, one) => sum + one, 0) || 1;
  const wide = Math.max(120, width - LEFT - 8);
  let from = LEFT;
  const places = share.map((one) => { const x = from; from += (one / total) * wide; return x; });
  const picture = s("svg", { class: "timeline", viewBox: `0 0 ${width} ${names.length * ROW + 22}`, width, height: names.length * ROW + 22, "aria-hidden": "true" });
  names.forEach((name, row) => {
    const y = row * ROW + ROW / 2;
    const label = s("text", { x: 0, y: y + 4, class: "node-name" });
    label.textContent = name.length > 15 ? `${name.slice(0, 14)}…` : name;
    picture.append(label, s("line", { x1: LEFT, x2: width - 8, y1: y, y2: y, class: "rest" }));
  });
  reigns.forEach((reign, place) => {
    const row = names.indexOf(reign.node);
    const x = places[place];
    const end = places[place + 1] ?? LEFT + wide;
    const y = row * ROW + ROW / 2;
    const current = place === reigns.length - 1;
    picture.append(s("rect", { x, y: y - 8, width: Math.max(3, end - x - 1), height: 16, rx: 3, class: current ? "reign now" : "reign" }));
    if (place > 0) picture.append(s("line", { x1: x, x2: x, y1: names.indexOf(reigns[place - 1].node) * ROW + ROW / 2, y2: y, class: "hand" }));
    if (end - x > 34) { const label = s("text", { x: x + 6, y: y + 4, class: "epoch" }); label.textContent = `e${reign.epoch}`; picture.append(label); }
  });
  const base = names.length * ROW + 14;
  const first = s("text", { x: LEFT, y: base, class: "axis" });
  first.textContent = reigns.length ? clock(reigns[0].since) : "";
  const last = s("text", { x: width - 8, y: base, class: "axis", "text-anchor": "end" });
  last.textContent = "now";
  picture.append(first, last);
  return h("figure.timeline-box", picture, h("figcaption.quiet", "Older times are drawn closer together."));
}

/** A takeover in words. */
export function took_over(takeover) {
  if (!takeover) return "";
  const from = takeover.from && takeover.from.node !== takeover.node ? ` from ${takeover.from.node}` : takeover.from ? " again after a restart" : "";
  const gap = Number.isFinite(takeover.gap_seconds) && takeover.from ? `, ${duration(Math.max(0, takeover.gap_seconds))} after its last record` : "";
  return `took over${from}${gap}: ${takeover.why}`;
}
