// The last minute of four sensors as small charts side by side, on one canvas a row.

const SPAN_MS = 60_000;
const AHEAD_MS = 15_000;
const CHANNELS = 4;
const GAP = 10;
const LANE = 2; // Height of the line that marks an alarm, below the shade.

/** The samples of the last minute of one agent. */
export class Minute {
  constructor() {
    this.clear();
  }

  clear() {
    this.t = [];
    this.p = [];
    this.v = Array.from({ length: CHANNELS }, () => []);
  }

  /** Append samples, or let them replace all. Late ones of a backlog are left out. */
  take(samples, isFull) {
    if (isFull) this.clear();
    const last = this.t.length ? this.t[this.t.length - 1] : -Infinity;
    for (let i = 0; i < samples.t.length; i += 1) {
      if (samples.t[i] <= last) continue;
      this.t.push(samples.t[i]);
      this.p.push(samples.p[i]);
      for (let c = 0; c < CHANNELS; c += 1) this.v[c].push(samples.v[c]?.[i] ?? null);
    }
  }

  /** Let go of what lies long before the end, and of wrong times after it: they would keep out all others. */
  trim(endMs) {
    let last = this.t.length;
    while (last > 0 && this.t[last - 1] > endMs + AHEAD_MS) last -= 1;
    for (const column of [this.t, this.p, ...this.v]) column.length = last;
    const begin = endMs - 1.2 * SPAN_MS;
    let n = 0;
    while (n < this.t.length && this.t[n] < begin) n += 1;
    if (n < 60) return;
    for (const column of [this.t, this.p, ...this.v]) column.splice(0, n);
  }
}

let palette = null;

/** The colours of the page, read once; again when the person changes the scheme. */
export function colours() {
  if (palette) return palette;
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  palette = { line: of("--ink"), dim: of("--dim"), base: of("--line"), alarm: of("--alarm"), wash: of("--alarm-wash") };
  return palette;
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (palette = null));

/** Draw a Minute that ends at `endMs`. `size`: CSS pixels; `row`: for sensors that are not there. */
export function drawMinute(canvas, size, minute, endMs, row) {
  minute.trim(endMs);
  const ratio = self.devicePixelRatio || 1;
  const width = Math.round(size.width * ratio);
  const height = Math.round(size.height * ratio);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const ink = canvas.getContext("2d");
  ink.setTransform(ratio, 0, 0, ratio, 0, 0);
  ink.clearRect(0, 0, size.width, size.height);
  const wide = (size.width - GAP * (CHANNELS - 1)) / CHANNELS;
  for (let c = 0; c < CHANNELS; c += 1) {
    const box = { x: c * (wide + GAP), width: wide, height: size.height };
    if (row?.sensors && row.sensors[c] === null) drawAbsent(ink, box);
    else drawLane(ink, box, minute, c, endMs);
  }
}

function drawAbsent(ink, box) {
  ink.fillStyle = colours().dim;
  ink.font = "11px system-ui, sans-serif";
  ink.textBaseline = "middle";
  if (box.width > 58) ink.fillText("no sensor", box.x, box.height / 2);
  else ink.fillText("–", box.x, box.height / 2);
}

function drawLane(ink, box, minute, c, endMs) {
  const colour = colours();
  ink.fillStyle = colour.base;
  ink.fillRect(box.x, box.height - 1, box.width, 1);
  const beginMs = endMs - SPAN_MS;
  const xOf = (t) => box.x + ((t - beginMs) / SPAN_MS) * box.width;
  shade(ink, box, minute, xOf, beginMs);
  const { low, high, columns } = folded(box, minute, c, beginMs);
  if (low > high) return;
  const middle = (low + high) / 2;
  const half = Math.max((high - low) / 2, Math.abs(middle) * 1e-4, 1e-12);
  const room = box.height - LANE - 5;
  const yOf = (value) => 2 + room / 2 - ((value - middle) / half) * (room / 2);
  ink.strokeStyle = colour.line;
  ink.lineWidth = 1;
  ink.lineJoin = "round";
  ink.beginPath();
  let isPen = false;
  for (const column of columns) {
    if (column === undefined) continue;
    if (column === null) {
      isPen = false;
      continue;
    }
    const x = box.x + column.x + 0.5;
    if (isPen) ink.lineTo(x, yOf(column.first));
    else ink.moveTo(x, yOf(column.first));
    ink.lineTo(x, yOf(column.least));
    ink.lineTo(x, yOf(column.most) + 0.01);
    ink.lineTo(x, yOf(column.last));
    isPen = true;
  }
  ink.stroke();
}

/** Each pixel's first, least, most and last value: no peak is lost. null: not measured. */
function folded(box, minute, c, beginMs) {
  const pixels = Math.max(1, Math.floor(box.width));
  const columns = new Array(pixels);
  const values = minute.v[c];
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < values.length; i += 1) {
    const x = Math.floor(((minute.t[i] - beginMs) / SPAN_MS) * pixels);
    if (x < 0 || x >= pixels) continue;
    const value = values[i];
    if (value === null || !Number.isFinite(value)) {
      columns[x] ??= null;
      continue;
    }
    if (value < low) low = value;
    if (value > high) high = value;
    const column = columns[x];
    if (!column) columns[x] = { x, first: value, least: value, most: value, last: value };
    else {
      if (value < column.least) column.least = value;
      if (value > column.most) column.most = value;
      column.last = value;
    }
  }
  return { low, high, columns };
}

function shade(ink, box, minute, xOf, beginMs) {
  const { t, p } = minute;
  const colour = colours();
  for (let i = 0; i < t.length; i += 1) {
    if (!p[i]) continue;
    const from = i;
    while (i + 1 < t.length && p[i + 1]) i += 1;
    const until = i + 1 < t.length ? t[i + 1] : t[i];
    const left = Math.max(box.x, xOf(Math.max(t[from], beginMs)));
    const right = Math.min(box.x + box.width, xOf(until));
    if (right < box.x) continue;
    const width = Math.max(2, right - left);
    ink.fillStyle = colour.wash;
    ink.fillRect(left, 0, width, box.height);
    ink.fillStyle = colour.alarm;
    ink.fillRect(left, box.height - LANE, width, LANE);
  }
}
