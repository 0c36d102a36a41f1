// Ticks of a chart: sensible times in local time, sensible numbers.
import { two } from "./format.js";

export const LEFT = 54;
export const RIGHT = 14;

const S = 1000, MIN = 60 * S, H = 60 * MIN, DAY = 24 * H;
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, S, 2 * S, 5 * S, 10 * S, 15 * S, 30 * S, MIN,
  2 * MIN, 5 * MIN, 10 * MIN, 15 * MIN, 30 * MIN, H, 2 * H, 3 * H, 6 * H, 12 * H];
const DAYS = [1, 2, 7, 14];
const MONTHS = [1, 2, 3, 6, 12, 24, 60];
const NAMES = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

function startOfDay(ms) {
  const day = new Date(ms);
  day.setHours(0, 0, 0, 0);
  return day;
}

/** Below an hour local time runs evenly; from an hour on, clocks may be put forward within a step. */
function* within(from, to, step) {
  const midnight = startOfDay(from).getTime();
  if (step < H) {
    for (let at = midnight + Math.ceil((from - midnight) / step) * step; at <= to; at += step) yield at;
    return;
  }
  for (const day = startOfDay(from); day.getTime() <= to; day.setDate(day.getDate() + 1)) {
    for (let hour = 0; hour < 24; hour += step / H) {
      const at = new Date(day);
      at.setHours(hour);
      if (at.getTime() >= from && at.getTime() <= to) yield at.getTime();
    }
  }
}

function* days(from, to, step) {
  const at = startOfDay(from);
  while (at.getTime() <= to) {
    const number = Math.floor(Date.UTC(at.getFullYear(), at.getMonth(), at.getDate()) / DAY);
    // Day 4 of Unix time was a Monday.
    if (at.getTime() >= from && (number - 4) % step === 0) yield at.getTime();
    at.setDate(at.getDate() + 1);
  }
}

function* months(from, to, step) {
  const first = new Date(from);
  const at = new Date(first.getFullYear(), Math.floor(first.getMonth() / step) * step, 1);
  while (at.getTime() <= to) {
    if (at.getTime() >= from) yield at.getTime();
    at.setMonth(at.getMonth() + step);
  }
}

function clock(ms, step) {
  const at = new Date(ms);
  const minutes = `${two(at.getHours())}:${two(at.getMinutes())}`;
  if (step >= MIN) return minutes;
  const seconds = `${minutes}:${two(at.getSeconds())}`;
  if (step >= S) return seconds;
  const digits = step >= 100 ? 1 : step >= 10 ? 2 : 3;
  return `${seconds}.${String(at.getMilliseconds()).padStart(3, "0").slice(0, digits)}`;
}

const dayName = (ms) => {
  const at = new Date(ms);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${WEEKDAYS[at.getDay()]}`;
};

const monthName = (ms) => `${NAMES[new Date(ms).getMonth()]} ${new Date(ms).getFullYear()}`;

/** Ticks {at, label} and the spans {from, to, label} that stand below them: days, months or years. */
export function timeTicks(from, to, width) {
  const most = Math.max(2, width / 84);
  const step = STEPS.find((each) => (to - from) / each <= most && (each >= S || width / ((to - from) / each) > 100));
  if (step) {
    const ticks = [...within(from, to, step)].map((at) => ({ at, label: clock(at, step) }));
    return { ticks, spans: spans(from, to, days(from, to, 1), dayName) };
  }
  const inDays = DAYS.find((each) => (to - from) / (each * DAY) <= width / 60);
  if (inDays) {
    const ticks = [...days(from, to, inDays)].map((at) => ({
      at, label: `${WEEKDAYS[new Date(at).getDay()]} ${new Date(at).getDate()}` }));
    return { ticks, spans: spans(from, to, months(from, to, 1), monthName) };
  }
  const inMonths = MONTHS.find((each) => (to - from) / (each * 30 * DAY) <= width / 60) ?? 120;
  const ticks = [...months(from, to, inMonths)].map((at) => ({
    at, label: inMonths < 12 ? NAMES[new Date(at).getMonth()] : String(new Date(at).getFullYear()) }));
  const years = inMonths < 12 ? months(from, to, 12) : [];
  return { ticks, spans: spans(from, to, years, (at) => String(new Date(at).getFullYear())) };
}

function spans(from, to, bounds, name) {
  const edges = [from, ...[...bounds].filter((at) => at > from), to];
  return edges.slice(0, -1).map((at, i) => ({ from: at, to: edges[i + 1], label: name(at) }));
}

/** The offset of local time, as "UTC+1" or "UTC+5:30". */
export function zone(ms) {
  const offset = -new Date(ms).getTimezoneOffset();
  if (!offset) return "UTC";
  const size = Math.abs(offset);
  return `UTC${offset < 0 ? "\u2212" : "+"}${Math.floor(size / 60)}${size % 60 ? `:${two(size % 60)}` : ""}`;
}

/** A range that holds the values with some air, and round ticks in it. */
export function valueTicks(least, most, height) {
  if (!(least <= most)) return { low: 0, high: 1, ticks: [] };
  let low = least, high = most;
  const air = (high - low) * 0.08 || Math.abs(high) * 0.05 || 1;
  low -= air;
  high += air;
  const finest = (high - low) / Math.max(4, height / 42);
  const power = 10 ** Math.floor(Math.log10(finest));
  const steps = [0.5, 1, 2, 5, 10].map((each) => each * power);
  let choice = steps.findIndex((each) => each >= finest);
  // One tick alone tells no distance.
  while (choice > 0 && Math.floor(high / steps[choice]) - Math.ceil(low / steps[choice]) < 1) choice -= 1;
  const step = steps[choice];
  const digits = Math.max(0, Math.min(12, -Math.floor(Math.log10(step) + 1e-9)));
  const large = Math.max(Math.abs(low), Math.abs(high));
  const isLong = large >= 1e7 || large < 1e-4;
  const mantissa = Math.max(0, Math.min(12, Math.floor(Math.log10(large)) - Math.floor(Math.log10(step) + 1e-9)));
  const ticks = [];
  for (let n = Math.ceil(low / step); n * step <= high && ticks.length < 50; n++) {
    const value = n * step;
    const label = isLong && value ? value.toExponential(mantissa) : value.toFixed(isLong ? 0 : digits);
    ticks.push({ value, label: label.replace("-", "\u2212") });
  }
  return { low, high, ticks };
}

/** The same with a decade as the distance between two ticks. What is not above 0 lies at the foot. */
export function decadeTicks(least, most) {
  const top = Math.max(most, Number.MIN_VALUE * 1e9);
  const low = Math.max(least, top / 1e5) * 0.8, high = top * 1.3;
  const ticks = [];
  for (let power = Math.ceil(Math.log10(low)); 10 ** power <= high; power++) {
    ticks.push({ value: 10 ** power, label: power >= 0 && power < 6 ? String(10 ** power) : `1e${power}` });
  }
  return { low, high, ticks };
}
