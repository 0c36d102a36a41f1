// A stack of charts on one time axis, with the cursor and the selection across all of them.
import { LEFT, RIGHT, timeTicks, zone } from "./axis.js";
import { el, setText } from "./dom.js";
import * as format from "./format.js";
import { attach } from "./gestures.js";
import { Lane } from "./lane.js";
import { FONT, colours, fit, scale } from "./paint.js";

// The newest value stands beside a chart that follows now, while it is so new, or a twentieth of the range.
const FRESH_MS = 100e3;
// In a longer range a time of day may stand for two days.
const NEAR_MS = 36 * 3600e3;
const SMALL = "10px system-ui, sans-serif";

export class Plots {
  /**
   * `host` is focusable. `on`: {alarm(alarm), note(ms), marks(marks)}. `state()` gives what is drawn:
   * {charts, lanes: [{name, alarms}], marks, selected}; charts shade the alarms of the first lane.
   */
  constructor(host, timeline, state, on) {
    Object.assign(this, { host, timeline, state, on });
    this.lane = new Lane(host, { hasMarks: Boolean(on.note), onMark: on.marks });
    this.body = el("div", { class: "charts" });
    this.axis = el("canvas", { "aria-hidden": "true" });
    this.stamp = el("span", { class: "stamp", hidden: true });
    this.foot = el("div", { class: "axis" }, this.axis, this.stamp);
    this.line = el("div", { class: "cursor", hidden: true });
    this.chosen = el("div", { class: "selection", hidden: true });
    this.spoken = el("p", { class: "spoken", "aria-live": "polite" });
    host.append(this.body, this.foot, this.line, this.chosen);
    host.after(this.spoken);
    attach(host, timeline, {
      cursor: (ms, isByKey) => this.point(ms, isByKey),
      select: (from, to) => this.select(from, to),
      click: (ms, event) => this.click(ms, event),
      note: (ms) => this.on.note?.(ms),
      step: () => this.step(),
    });
    new ResizeObserver(() => this.redraw()).observe(host);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  /** The width of the charts in CSS pixels: as many buckets are asked for. */
  get pixels() {
    return Math.max(1, Math.min(4000, Math.round(this.host.clientWidth - LEFT - RIGHT)));
  }

  redraw(isSettled = false) {
    this.isDescribing ||= isSettled;
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const view = this.timeline.view;
    const { charts, lanes, marks, selected } = this.state();
    this.lane.draw(view, lanes, selected);
    this.lane.mark(view, marks);
    const alarms = lanes.length === 1 ? lanes[0].alarms : [];
    for (const chart of charts) {
      chart.draw(view, alarms, selected);
      if (this.isDescribing || !chart.isDescribed) chart.describe(view, lanes.flatMap((each) => each.alarms));
    }
    this.isDescribing = false;
    this.drawAxis(view);
    this.place();
  }

  drawAxis(view) {
    const { ctx, width } = fit(this.axis);
    const colour = colours(this.axis);
    const x = scale(view, width);
    const { ticks, spans } = timeTicks(view.from, view.to, width - LEFT - RIGHT);
    ctx.font = FONT;
    ctx.textBaseline = "top";
    ctx.textAlign = "center";
    ctx.fillStyle = colour("label");
    ctx.strokeStyle = colour("frame");
    ctx.beginPath();
    for (const { at, label } of ticks) {
      const px = Math.round(x(at)) + 0.5;
      ctx.moveTo(px, 0);
      ctx.lineTo(px, 5);
      const half = ctx.measureText(label).width / 2;
      if (px - half > LEFT - 12 && px + half < width) ctx.fillText(label, px, 8);
    }
    ctx.textAlign = "left";
    ctx.fillStyle = colour("ink");
    spans.forEach(({ from, to, label }, i) => {
      const left = x(from), room = x(to) - left;
      if (i > 0) {
        ctx.moveTo(Math.round(left) + 0.5, 0);
        ctx.lineTo(Math.round(left) + 0.5, 36);
      }
      if (ctx.measureText(label).width + 10 < room) ctx.fillText(label, left + (i > 0 ? 6 : 0), 24);
    });
    ctx.stroke();
    ctx.fillStyle = colour("label");
    ctx.textAlign = "right";
    ctx.font = SMALL;
    ctx.fillText(zone(view.to), LEFT - 7, 25, LEFT - 8);
  }

  /** The time between two values on screen, for the steps of the keyboard's cursor. */
  step() {
    const series = this.state().charts[0]?.series[0];
    const pixel = this.timeline.span / this.pixels;
    return Math.max(pixel, series?.width || series?.period || pixel);
  }

  point(ms, isByKey) {
    this.cursor = ms;
    this.place();
    if (!isByKey) return;
    if (ms === null) return setText(this.spoken, "");
    const { charts, lanes } = this.state();
    const values = charts.flatMap((chart) => chart.at(ms).map((each, i) =>
      `${chart.series.length > 1 ? chart.series[i].name : chart.title} ${each ? words(each, chart.unit) : "no sample"}`));
    const isRed = lanes.some(({ alarms }) => alarms.some((each) => each.begun <= ms && (each.ended ?? this.timeline.now) >= ms));
    setText(this.spoken, `${stamp(ms, this.timeline.span)}: ${values.join(", ")}${isRed ? "; in alarm" : ""}.`);
  }

  place() {
    const ms = this.cursor ?? null;
    const view = this.timeline.view;
    const isIn = ms !== null && ms >= view.from && ms <= view.to;
    this.line.hidden = this.stamp.hidden = !isIn;
    if (isIn) {
      const width = this.host.clientWidth;
      const px = scale(view, width)(ms);
      this.line.style.left = this.stamp.style.left = `${px}px`;
      setText(this.stamp, stamp(ms, this.timeline.span));
      this.stamp.classList.toggle("is-left", px > width - 90);
      this.stamp.classList.toggle("is-right", px < 90);
    }
    for (const chart of this.state().charts) this.read(chart, isIn ? ms : null);
  }

  read(chart, ms) {
    const view = this.timeline.view;
    const isKnown = (each) => each && (ms !== null || each.at + each.width > view.to - Math.max(FRESH_MS, view.to - view.from) * 0.05);
    const values = ms === null && !this.timeline.isLive ? null : chart.at(ms).map((each) => (isKnown(each) ? each : null));
    if (chart.onRead) chart.onRead(values, ms !== null);
    else chart.read(values?.[0] ? words(values[0], chart.unit) : ms === null ? "" : "no sample");
  }

  select(from, to) {
    this.chosen.hidden = from === null;
    if (from === null) return;
    const x = scale(this.timeline.view, this.host.clientWidth);
    const [left, right] = [x(from), x(to)].sort((a, b) => a - b);
    this.chosen.style.left = `${left}px`;
    this.chosen.style.width = `${right - left}px`;
  }

  click(ms, event) {
    const alarm = this.lane.alarmAt(event.clientX, event.clientY);
    if (alarm) this.on.alarm?.(alarm);
    else if (event.clientY > this.axis.getBoundingClientRect().top) this.on.note?.(ms);
  }
}

function words(each, unit) {
  const { lo, hi } = each;
  return lo === hi ? plain(each, unit) : `${plain(each, unit)} (${format.number(lo)} \u2026 ${format.number(hi)})`;
}

/** A value without its band. */
export const plain = ({ value }, unit) => (value === null || value === undefined ? "failed" : `${format.number(value)}${unit ? ` ${unit}` : ""}`);

/** A time of the cursor, as exact as a pixel is. */
function stamp(ms, span) {
  const text = format.time(ms, { now: span < NEAR_MS ? ms : 0 });
  return span < 600e3 ? `${text}.${String(Math.floor(((ms % 1000) + 1000) % 1000)).padStart(3, "0").slice(0, span < 10e3 ? 3 : 1)}` : text;
}
