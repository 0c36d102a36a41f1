// Words, numbers and times as people read them. No module below this one.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

// Worst first. `path` is drawn in a box of 12 by 12: no two states share a shape.
const STATES = {
  offline: { word: "offline", shape: "cross", path: "M1 2.8 2.8 1 6 4.2 9.2 1 11 2.8 7.8 6 11 9.2 9.2 11 6 7.8 2.8 11 1 9.2 4.2 6z" },
  late: { word: "late", shape: "triangle", path: "M6 .8 11.6 11H.4zM6 4.2 3.3 9.3h5.4z" },
  alarm: { word: "alarm", shape: "square", path: "M.5.5h11v11H.5z" },
  acknowledged: { word: "acknowledged", shape: "framed square", path: "M.5.5h11v11H.5zM2.2 2.2v7.6h7.6V2.2zM4.2 4.2h3.6v3.6H4.2z" },
  learning: { word: "learning", shape: "half disc", path: "M6 .5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM6 2a4 4 0 0 1 0 8z" },
  steady: { word: "steady", shape: "step", path: "M.5 11V8h4V1h7v3h-4v7z" },
  normal: { word: "normal", shape: "ring", path: "M6 1a5 5 0 1 0 0 10A5 5 0 0 0 6 1zM6 2.6a3.4 3.4 0 1 1 0 6.8 3.4 3.4 0 0 1 0-6.8z" },
};

export const STATE_NAMES = Object.keys(STATES);

/** The word of a state, and the shape that stands beside it: {word, shape, path, rank}. */
export function state(name) {
  const known = STATES[name];
  if (!known) return { word: String(name), shape: "dot", path: "M4 4h4v4H4z", rank: STATE_NAMES.length };
  return { ...known, rank: STATE_NAMES.indexOf(name) };
}

/** The shape of a state as an SVG element; the word must stand beside it. */
export function mark(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 12 12");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `mark is-${name in STATES ? name : "unknown"}`);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", state(name).path);
  path.setAttribute("fill-rule", "evenodd");
  svg.append(path);
  return svg;
}

export const two = (n) => String(n).padStart(2, "0");

function isSameDay(a, b) {
  return a.getFullYear() === b.getFullYear() && a.getMonth() === b.getMonth() && a.getDate() === b.getDate();
}

/** Local time: "14:02:33" of today, "2026-11-01 14:02:33" of another day. */
export function time(ms, { seconds = true, now = Date.now() } = {}) {
  if (ms === null || ms === undefined) return "–";
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return "–";
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}${seconds ? `:${two(at.getSeconds())}` : ""}`;
  return isSameDay(at, new Date(now)) ? clock : `${date(ms)} ${clock}`;
}

/** Local day: "2026-11-01". */
export function date(ms) {
  const at = new Date(ms);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

/** How long ago, in one unit: "12 s", "3 min", "2 h", "4 days". */
export function age(msAgo) {
  if (msAgo === null || msAgo === undefined || Number.isNaN(msAgo)) return "–";
  const ms = Math.max(0, msAgo);
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min`;
  if (ms < 2 * DAY) return `${Math.floor(ms / HOUR)} h`;
  return `${Math.floor(ms / DAY)} days`;
}

/** A length of time, in two units at most: "350 ms", "12.5 s", "3 min 20 s", "2 h 5 min". */
export function duration(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "–";
  if (ms < SECOND) return `${ms < 10 ? number(Math.round(ms * 10) / 10, 2) : Math.round(ms)} ms`;
  if (ms < 10 * SECOND) return `${(ms / SECOND).toFixed(1)} s`;
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s`;
  if (ms < HOUR) return pair(ms, MINUTE, "min", SECOND, "s");
  if (ms < 2 * DAY) return pair(ms, HOUR, "h", MINUTE, "min");
  return pair(ms, DAY, "days", HOUR, "h");
}

function pair(ms, big, bigWord, small, smallWord) {
  const rest = Math.floor((ms % big) / small);
  return `${Math.floor(ms / big)} ${bigWord}${rest ? ` ${rest} ${smallWord}` : ""}`;
}

/** An alarm as it is drawn: an open one ends where its machine was heard last. */
export function until(alarm, lastHeard) {
  return alarm.ended === null ? { ...alarm, ended: Math.max(alarm.begun, lastHeard) } : alarm;
}

/** A measured value, with at most `digits` significant digits, or all those before the point; "–" where nothing was measured. */
export function number(x, digits = 5) {
  if (x === null || x === undefined || Number.isNaN(x)) return "–";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  const size = Math.abs(x);
  const whole = Math.max(1, Math.min(7, Math.floor(Math.log10(size)) + 1));
  const text = size !== 0 && (size >= 1e7 || size < 1e-4) ? x.toExponential(Math.min(digits, 3) - 1) : String(Number(x.toPrecision(Math.max(digits, whole))));
  return text.replace("-", "−");
}

/** A whole number with thin spaces between thousands: "12 345". */
export function count(n) {
  if (n === null || n === undefined) return "–";
  return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** "1 agent", "2 agents". */
export function counted(n, word, plural = `${word}s`) {
  return `${count(n)} ${n === 1 ? word : plural}`;
}

/** Name and unit of a sensor, also when nobody told them: {name, unit, absent}. */
export function channel(row, index) {
  const told = row?.sensors;
  const entry = told ? told[index] : undefined;
  return { name: entry?.name || `sensor${index + 1}`, unit: entry?.unit || "", absent: entry === null };
}

const SENSOR = /\bsensor([1-4])\b(?:\s+(\d+(?:\.\d+)?)\s?%)?/g;

/** What a predictor or a broker says, with the sensors' names: "vibration 91 %" for "sensor2 91%". */
export function named(text, row) {
  return text.replace(SENSOR, (_, number, percent) => channel(row, number - 1).name + (percent ? ` ${percent}\u00a0%` : ""));
}

/** The reason of an alarm, without the word that stands before it already. */
export function reason(text, row) {
  return named((text ?? "").replace(/^alarm: /, ""), row);
}

/** The text in at most `most` characters. */
export function shortened(text, most = 90) {
  const letters = [...text];
  return letters.length <= most ? text : `${letters.slice(0, most - 1).join("").trimEnd()}…`;
}
