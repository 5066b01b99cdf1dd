// A series against what the baseline had of it: small for a row, large for a closer look.
import { sharpen } from "./band.js";
import { figure } from "./format.js";
import { colours } from "./theme.js";

/** What has to be seen: the readings, and as much of the baseline as is near them. */
function extent(values, usual) {
  const all = [...values];
  if (usual) all.push(usual[1], usual[2], usual[3], usual[4]);
  let [low, high] = [Math.min(...all), Math.max(...all)];
  if (!Number.isFinite(low)) return [0, 1];
  if (low === high) { const room = Math.abs(low) * 0.05 || 1; low -= room; high += room; }
  const room = (high - low) * 0.08;
  return [low - room, high + room];
}

function bands(ctx, usual, y, width, paint) {
  if (!usual) return;
  const [mean, inner_low, inner_high, low, high] = usual;
  ctx.fillStyle = paint["band-outer"];
  ctx.fillRect(0, y(high), width, Math.max(1, y(low) - y(high)));
  ctx.fillStyle = paint["band-inner"];
  ctx.fillRect(0, y(inner_high), width, Math.max(1, y(inner_low) - y(inner_high)));
  ctx.strokeStyle = paint.accent;
  ctx.lineWidth = 1;
  ctx.setLineDash([5, 3]);
  ctx.beginPath();
  ctx.moveTo(0, y(mean));
  ctx.lineTo(width, y(mean));
  ctx.stroke();
  ctx.setLineDash([]);
}

/** A row's picture: the newest cycles as a line over the baseline's band; a diamond marks the cycle that is looked at. */
export function spark(canvas, past, usual, tone) {
  const width = canvas.clientWidth || 160;
  const height = 34;
  const ctx = sharpen(canvas, width, height);
  const paint = colours();
  if (!past?.values.length) return;
  const [low, high] = extent(past.values, usual);
  const y = (value) => height - 2 - ((value - low) / (high - low)) * (height - 4);
  const first = past.cycles[0];
  const span = Math.max(1, past.cycles[past.cycles.length - 1] - first);
  const x = (cycle) => 2 + ((cycle - first) / span) * (width - 10);
  bands(ctx, usual, y, width, paint);
  line(ctx, past, x, y, paint.ink, 1.5);
  const end = past.values.length - 1;
  const [px, py] = [x(past.cycles[end]), y(past.values[end])];
  ctx.fillStyle = paint[tone] ?? paint.fg;
  ctx.beginPath();
  ctx.moveTo(px, py - 4.5);
  ctx.lineTo(px + 4.5, py);
  ctx.lineTo(px, py + 4.5);
  ctx.lineTo(px - 4.5, py);
  ctx.fill();
}

function line(ctx, past, x, y, colour, width) {
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.lineJoin = "round";
  ctx.beginPath();
  past.values.forEach((value, place) => {
    const gap = place > 0 && past.cycles[place] - past.cycles[place - 1] > 1;
    if (place === 0 || gap) ctx.moveTo(x(past.cycles[place]), y(value));
    else ctx.lineTo(x(past.cycles[place]), y(value));
  });
  ctx.stroke();
}

/** The large picture of one series, with its axis, its limits, and where its drift began. */
export function chart(canvas, { past, usual, unit, limits = [], onset = null, tone = "accent", height = 220 }) {
  const width = canvas.clientWidth || 600;
  const ctx = sharpen(canvas, width, height);
  const paint = colours();
  ctx.font = "12px system-ui, sans-serif";
  if (!past?.values.length) { ctx.fillStyle = paint.muted; ctx.fillText("No figures of this series are kept.", 12, 24); return; }
  const near = limits.filter((limit) => Number.isFinite(limit.value));
  const [low, high] = extent([...past.values, ...near.map((limit) => limit.value)], usual);
  const [left, bottom, right] = [62, 24, 12];
  const y = (value) => 10 + (1 - (value - low) / (high - low)) * (height - bottom - 10);
  const first = past.cycles[0];
  const span = Math.max(1, past.cycles[past.cycles.length - 1] - first);
  const x = (cycle) => ((cycle - first) / span) * (width - left - right - 8) + 4;
  ctx.save();
  ctx.translate(left, 0);
  bands(ctx, usual, y, width - left - right, paint);
  ctx.fillStyle = paint.muted;
  for (let tick = 0; tick <= 4; tick += 1) {
    const value = low + ((high - low) * tick) / 4;
    ctx.textAlign = "right";
    ctx.fillText(figure(Number(value.toPrecision(5))), -8, y(value) + 4);
    ctx.fillRect(-4, y(value), 4, 1);
  }
  ctx.textAlign = "left";
  ctx.fillText(`#${first}`, 0, height - 6);
  ctx.textAlign = "right";
  ctx.fillText(`#${first + span}${unit ? `, in ${unit}` : ""}`, width - left - right, height - 6);
  if (onset !== null && onset >= first) { mark(ctx, x(onset), height - bottom, paint.muted, "since here"); }
  for (const limit of near) {
    ctx.strokeStyle = paint.fail;
    ctx.lineWidth = 1.5;
    ctx.setLineDash([7, 4]);
    ctx.beginPath();
    ctx.moveTo(0, y(limit.value));
    ctx.lineTo(width - left - right, y(limit.value));
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.fillStyle = paint.fail;
    ctx.textAlign = "left";
    ctx.fillText(`${limit.name} ${figure(limit.value)}`, 6, y(limit.value) - 5);
  }
  line(ctx, past, x, y, paint.ink, 2);
  ctx.fillStyle = paint[tone] ?? paint.ink;
  past.values.forEach((value, place) => { ctx.beginPath(); ctx.arc(x(past.cycles[place]), y(value), place === past.values.length - 1 ? 5 : 2, 0, 7); ctx.fill(); });
  ctx.restore();
}

function mark(ctx, x, bottom, colour, words) {
  ctx.strokeStyle = colour;
  ctx.fillStyle = colour;
  ctx.lineWidth = 1;
  ctx.setLineDash([2, 3]);
  ctx.beginPath();
  ctx.moveTo(x, 4);
  ctx.lineTo(x, bottom);
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.textAlign = "left";
  ctx.fillText(words, x + 4, 14);
}
