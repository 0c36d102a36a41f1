// One chart on a canvas: a min-max band with the mean in it, or a plain line; alarms behind it.
import { LEFT, RIGHT, decadeTicks, valueTicks } from "./axis.js";
import { el, foreign, setText } from "./dom.js";
import * as format from "./format.js";
import { BOTTOM, FONT, TOP, colours, firstFrom, fit, grid, isValue, number, paint, scale, shade } from "./paint.js";

export class Chart {
  /** `series`: {name, t, width, gap, lo, hi, mean, failed, colour, dash}; width 0: points. */
  constructor(host, title, unit) {
    this.title = title;
    this.unit = unit;
    this.series = [];
    this.isDescribed = false;
    this.noted = unit ? foreign(unit, { class: "unit" }) : el("span", { class: "unit" });
    this.told = el("span", { class: "told", title: "Smallest and largest value in view" });
    this.reading = el("span", { class: "reading" });
    this.lost = el("span", { class: "lost" });
    const caption = el("figcaption", {}, foreign(title, { class: "title" }), this.noted, this.told, this.lost, this.reading);
    this.canvas = el("canvas", { role: "img", "aria-label": title });
    this.message = el("p", { class: "message", hidden: true });
    this.figure = el("figure", { class: "chart" }, caption, this.canvas, this.message);
    host.append(this.figure);
  }

  /** A word beside the title, where the unit of a sensor stands. */
  note(text) {
    setText(this.noted, text);
  }

  say(text) {
    this.message.textContent = text;
    this.message.hidden = !text;
  }

  /** The value at the cursor, or the newest; its band stands apart, for there may be no room for it. */
  read(text) {
    if (text === this.wasRead) return;
    this.wasRead = text;
    const at = text.indexOf(" (");
    this.reading.replaceChildren(...(at < 0 ? [text] : [text.slice(0, at), el("span", { class: "band" }, text.slice(at))]));
  }

  draw(view, alarms, selected) {
    const { ctx, width, height } = fit(this.canvas);
    if (width <= LEFT + RIGHT || height < 20) return;
    const floor = height - BOTTOM;
    const parts = this.series.map((each) => this.part(each, view));
    this.sum(parts);
    const { low, high, ticks } = this.range(floor - TOP);
    const share = this.isInDecades
      ? (value) => Math.log(Math.max(value, low) / low) / Math.log(high / low)
      : (value) => (value - low) / (high - low);
    const y = (value) => Math.max(TOP - 2, Math.min(floor + 2, floor - share(value) * (floor - TOP)));
    const pen = { ctx, x: scale(view, width), y, view, width, floor, colour: colours(this.canvas) };
    ctx.font = FONT;
    this.clipped(pen, height, () => shade(pen, alarms, selected));
    grid(pen, ticks);
    this.clipped(pen, height, () => parts.forEach((part) => paint(pen, part)));
    number(pen, parts);
  }

  clipped({ ctx, width }, height, act) {
    ctx.save();
    ctx.beginPath();
    ctx.rect(LEFT, 0, width - LEFT - RIGHT, height);
    ctx.clip();
    act();
    ctx.restore();
  }

  /** The indices of a series within the view, with a neighbour at each side. */
  part(series, view) {
    const begin = Math.max(0, firstFrom(series.t, view.from - series.width) - 1);
    const end = Math.min(series.t.length, firstFrom(series.t, view.to) + 1);
    return { series, begin, end, view };
  }

  sum(parts) {
    const sum = { least: Infinity, most: -Infinity, failed: 0, samples: 0, endless: 0 };
    for (const { series, begin, end, view } of parts) {
      for (let i = begin; i < end; i++) {
        if (series.t[i] + series.width < view.from || series.t[i] > view.to) continue;
        sum.samples += series.n ? series.n[i] : 1;
        if (series.failed) sum.failed += series.failed[i];
        else if (!isValue(series.mean[i])) sum.failed += 1;
        for (const value of [series.lo[i], series.hi[i]]) {
          if (!isValue(value)) continue;
          if (!Number.isFinite(value)) sum.endless += 1;
          else {
            sum.least = Math.min(sum.least, value);
            sum.most = Math.max(sum.most, value);
          }
        }
      }
    }
    this.summed = sum;
  }

  /** Stays while the values fill more than half of it: a scale that moves hides what moves. */
  range(height) {
    const { least, most } = this.summed;
    if (!(least <= most)) return valueTicks(least, most, height);
    if (this.isInDecades) return decadeTicks(least, most);
    const kept = this.kept;
    const fills = kept && kept.height === height && least >= kept.low && most <= kept.high
      && most - least > (kept.high - kept.low) * 0.55;
    if (!fills) this.kept = { ...valueTicks(least, most, height), height };
    return this.kept;
  }

  /** What each series is at a time, or (null) at its end: {name, value, lo, hi, at}, or null. */
  at(ms) {
    return this.series.map((series) => {
      if (ms === null) return this.point(series, series.t.length - 1);
      let i = firstFrom(series.t, ms);
      if (series.width) i = series.t[i] === ms ? i : i - 1;
      else if (i > 0 && (i === series.t.length || ms - series.t[i - 1] < series.t[i] - ms)) i -= 1;
      const away = series.width || Math.max(series.gap, ms > series.live?.from ? series.live.gap : 0);
      if (i < 0 || i >= series.t.length || Math.abs(ms - series.t[i]) > away) return null;
      return this.point(series, i);
    });
  }

  point(series, i) {
    if (i < 0) return null;
    return { name: series.name, value: series.mean[i], lo: series.lo[i], hi: series.hi[i], at: series.t[i], width: series.width };
  }

  /** What is seen, in words. */
  describe(view, alarms) {
    this.isDescribed = true;
    const { least, most, failed, samples } = this.summed ?? {};
    const what = `${this.title}${this.unit ? ` in ${this.unit}` : ""}, ${format.time(view.from)} to ${format.time(view.to)}`;
    const seen = alarms.filter((each) => (each.ended ?? view.now) >= view.from && each.begun <= view.to);
    const red = seen.length === 0 ? "no alarm"
      : seen.length === 1 ? `1 alarm, begun ${format.time(seen[0].begun)}` : `${seen.length} alarms`;
    const range = !samples ? "no samples" : least <= most
      ? `minimum ${format.number(least)}, maximum ${format.number(most)}` : "no measured value";
    this.canvas.setAttribute("aria-label", `${what}: ${range}${failed ? `, ${failed} failed readings` : ""}; ${red}.`);
    setText(this.told, least <= most ? `${format.number(least)} \u2026 ${format.number(most)}` : "");
    const lost = failed ? [`${format.count(failed)} failed`] : [];
    if (this.summed?.endless) lost.push("infinite values");
    setText(this.lost, lost.join(", "));
  }
}
