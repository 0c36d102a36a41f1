// What a chart draws on its canvas, from the back to the front. `pen`: {ctx, x, y, view, width, floor, colour}.
import { LEFT, RIGHT, timeTicks } from "./axis.js";

export const FONT = "11px system-ui, sans-serif";
export const TOP = 5, BOTTOM = 7;

/** Colours as the style sheet has them now, light or dark. */
export function colours(element) {
  const style = getComputedStyle(element);
  return (name) => style.getPropertyValue(`--${name}`).trim();
}

/** Fit a canvas to its place and the screen's pixels; draw in CSS pixels from here on. */
export function fit(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  const wide = Math.round(width * ratio), high = Math.round(height * ratio);
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return { ctx, width, height };
}

/** From time to pixel. */
export const scale = (view, width) => {
  const factor = (width - LEFT - RIGHT) / (view.to - view.from);
  return (ms) => LEFT + (ms - view.from) * factor;
};

/** The first index whose time is not before `ms`. */
export function firstFrom(times, ms) {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < ms) low = middle + 1;
    else high = middle;
  }
  return low;
}

export const isValue = (value) => value !== null && value !== undefined;

export function shade({ ctx, x, view, floor, colour }, alarms, selected) {
  for (const alarm of alarms) {
    const end = alarm.ended ?? view.now;
    if (end < view.from || alarm.begun > view.to) continue;
    const left = x(Math.max(alarm.begun, view.from)), right = x(Math.min(end, view.to));
    ctx.fillStyle = colour(alarm.id === selected ? "shade-selected" : "shade");
    ctx.fillRect(left, 0, Math.max(1, right - left), floor + BOTTOM);
  }
}

export function grid({ ctx, x, y, view, width, floor, colour }, ticks) {
  ctx.lineWidth = 1;
  ctx.strokeStyle = colour("grid");
  ctx.fillStyle = colour("label");
  ctx.beginPath();
  for (const { at } of timeTicks(view.from, view.to, width - LEFT - RIGHT).ticks) {
    const px = Math.round(x(at)) + 0.5;
    ctx.moveTo(px, 0);
    ctx.lineTo(px, floor + BOTTOM);
  }
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  for (const { value, label } of ticks) {
    const py = Math.round(y(value)) + 0.5;
    ctx.moveTo(LEFT, py);
    ctx.lineTo(width - RIGHT, py);
    ctx.fillText(label, LEFT - 7, Math.max(6, Math.min(floor + BOTTOM - 5, py)));
  }
  ctx.stroke();
  ctx.strokeStyle = colour("frame");
  ctx.strokeRect(LEFT - 0.5, 0.5, width - LEFT - RIGHT + 1, floor + BOTTOM - 1);
}

export function paint(pen, part) {
  const { ctx, x, y, colour } = pen;
  const { series, begin, end } = part;
  const main = colour(series.colour);
  if (series.width) {
    ctx.fillStyle = main;
    ctx.globalAlpha = series.isFaint ? 0.12 : 0.26;
    for (let i = begin; i < end; i++) {
      if (!isValue(series.lo[i])) continue;
      const left = Math.round(x(series.t[i]));
      const right = Math.max(left + 1, Math.round(x(series.t[i] + series.width)));
      const top = y(series.hi[i]);
      ctx.fillRect(left, top, right - left, Math.max(1, y(series.lo[i]) - top));
    }
    ctx.globalAlpha = 1;
  }
  ctx.strokeStyle = main;
  ctx.lineJoin = "round";
  if (series.width) edges(pen, part);
  ctx.lineWidth = 1.4;
  ctx.lineCap = series.dash ? "butt" : "round";
  ctx.setLineDash(series.dash ?? []);
  ctx.beginPath();
  trace(pen, part, series.mean);
  ctx.stroke();
  ctx.setLineDash([]);
  dots(pen, part);
  failures(pen, part);
}

/** The edges of the band: a peak of one sample is a pixel wide, and must not be pale. */
function edges(pen, part) {
  const { ctx } = pen;
  ctx.globalAlpha = part.series.isFaint ? 0.4 : 0.7;
  ctx.lineWidth = 1;
  ctx.beginPath();
  trace(pen, part, part.series.lo);
  trace(pen, part, part.series.hi);
  ctx.stroke();
  ctx.globalAlpha = 1;
}

/** A line through the values, at most four points a pixel, interrupted where nothing was measured. */
function trace({ ctx, x, y }, { series, begin, end }, values) {
  const half = series.width / 2;
  let column = null, before = null;
  const flush = () => {
    if (!column) return;
    if (column.starts) ctx.moveTo(column.x, y(column.first));
    ctx.lineTo(column.x + 0.01, y(column.first));
    if (column.least < column.most) {
      ctx.lineTo(column.x, y(column.least));
      ctx.lineTo(column.x, y(column.most));
      ctx.lineTo(column.x, y(column.last));
    }
    column = null;
  };
  const isDense = end - begin > 4000;
  for (let i = begin; i < end; i++) {
    const value = values[i];
    if (!isValue(value)) {
      flush();
      before = null;
      continue;
    }
    const exact = x(series.t[i] + half);
    const px = isDense ? Math.round(exact * 2) / 2 : exact;
    const gap = series.live && series.t[i] > series.live.from ? series.live.gap : series.gap;
    const breaks = before === null || series.t[i] - before > gap;
    if (column && (breaks || column.x !== px)) flush();
    if (!column) column = { x: px, starts: breaks, first: value, least: value, most: value, last: value };
    column.least = Math.min(column.least, value);
    column.most = Math.max(column.most, value);
    column.last = value;
    before = series.t[i];
  }
  flush();
}

/** Single samples, once they stand far enough apart to be told from each other. */
function dots({ ctx, x, y }, { series, begin, end }) {
  if (series.width || end - begin < 2) return;
  const apart = (x(series.t[end - 1]) - x(series.t[begin])) / (end - begin - 1);
  if (apart < 7) return;
  ctx.fillStyle = ctx.strokeStyle;
  for (let i = begin; i < end; i++) {
    if (!isValue(series.mean[i])) continue;
    ctx.beginPath();
    ctx.arc(x(series.t[i]), y(series.mean[i]), 2.2, 0, 7);
    ctx.fill();
  }
}

/** Along the foot: where readings failed, one pixel wide at least. */
function failures({ ctx, x, floor, colour }, { series, begin, end }) {
  ctx.fillStyle = colour("failed");
  for (let i = begin; i < end; i++) {
    const failed = series.failed ? series.failed[i] > 0 : !isValue(series.mean[i]);
    if (!failed) continue;
    const left = x(series.t[i]);
    const wide = series.width || Math.min(series.gap, (series.t[i + 1] ?? series.t[i]) - series.t[i]);
    ctx.fillRect(left, floor + 2, Math.max(1.5, x(series.t[i] + wide) - left), 4);
  }
}

/** At the right end of each line its number in the legend. */
export function number({ ctx, y, width, floor, colour }, parts) {
  const ends = parts.flatMap(({ series, begin, end }) => {
    for (let i = end - 1; series.number && i >= begin; i--) if (isValue(series.mean[i])) return [{ series, at: y(series.mean[i]) }];
    return [];
  });
  ends.sort((a, b) => a.at - b.at);
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  let free = 0;
  for (const { series, at } of ends) {
    const py = Math.max(at, free);
    free = py + 11;
    ctx.fillStyle = colour(series.colour);
    ctx.fillText(String(series.number), width - RIGHT + 4, Math.min(py, floor + BOTTOM - 5));
  }
}
