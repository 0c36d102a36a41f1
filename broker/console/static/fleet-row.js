// One agent in the table of the fleet: its cells change where its values do, and only while seen.

import { el, foreign, setShown, setText } from "./dom.js";
import { age, channel, count, duration, mark, named, number, shortened, state, time } from "./format.js";
import { agentPage } from "./paths.js";
import { Minute, drawMinute } from "./spark.js";

const SHORT = 240;
const BEGINNING = /since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d [^:;]*: /; // The row says it.
const LIST_OF_SHARES = /[:;,]?\s*[^:;,]+ \d+\s?%(, [^:;,]+ \d+\s?%)+/;

export class FleetRow {
  constructor(name) {
    this.name = name;
    this.row = null;
    this.fast = null;
    this.isVisible = false;
    this.isDirty = true;
    this.minute = null;
    this.size = null;
    this.shown = {};
    this.link = el("a", { class: "name", href: agentPage(name), title: name.length > 20 ? name : null }, foreign(name));
    this.state = el("span", { class: "state" });
    this.since = el("span", { class: "since dim" });
    this.tags = el("span", { class: "tags" });
    this.why = el("span", { class: "words", dir: "auto" });
    this.shares = el("dl", { class: "shares", hidden: true });
    this.chart = el("td", { role: "cell", class: "chart" });
    this.rate = cell("rate");
    this.delay = cell("delay");
    this.missing = cell("missing");
    this.seen = cell("seen");
    this.node = el(
      "tr",
      { role: "row", "data-name": name },
      el("td", { role: "cell", class: "standing" }, this.state, this.since),
      el("th", { role: "rowheader", scope: "row", class: "who-cell" }, this.link, this.tags),
      el("td", { role: "cell", class: "why" }, this.why, this.shares),
      this.chart,
      this.rate.node,
      this.delay.node,
      this.missing.node,
      this.seen.node,
    );
  }

  /** A smaller key stands higher: first who is in an alarm that nobody acknowledged, also if it is silent since. */
  get key() {
    const { alarm, needs_person: isNeedy, state: name } = this.row;
    const isOpen = alarm && !alarm.acknowledged;
    return `${isOpen ? (name === "alarm" ? 0 : 1) : 2}${isNeedy ? 0 : 1}${state(name).rank}`;
  }

  /** Take new values. They are written when the row is seen. */
  take(row, fast) {
    this.row = row;
    this.fast = fast ?? this.fast;
    this.isDirty = true;
  }

  /** In view, or not: only a row in view has a canvas and samples. */
  show(isVisible, sizes) {
    if (this.isVisible === isVisible) return;
    this.isVisible = isVisible;
    if (isVisible) {
      this.canvas = el("canvas", { role: "img", "aria-label": "Last minute" });
      this.chart.replaceChildren(this.canvas);
      this.minute = new Minute();
      this.shown.label = null;
      sizes.observe(this.canvas);
      this.canvas.owner = this;
    } else {
      sizes.unobserve(this.canvas);
      this.chart.replaceChildren();
      this.canvas = this.minute = this.size = null;
    }
  }

  /** Write what changed. `isSecond`: ages, too. */
  write(at, isSecond) {
    if (!this.isDirty && !isSecond) return;
    const { row, fast, shown } = this;
    if (this.isDirty) {
      if (shown.state !== row.state) {
        shown.state = row.state;
        this.state.replaceChildren(mark(row.state), state(row.state).word);
        this.state.className = `state is-${row.state}`;
        this.node.dataset.state = row.state;
      }
      this.node.classList.toggle("is-needy", row.needs_person);
      this.writeTags(row);
      this.writeWhy(row);
      this.writeNumbers(row, fast);
      this.writeLabel(row);
    }
    this.isDirty = false;
    setText(this.since, row.since ? `since ${time(row.since, { seconds: false, now: at })}, ${age(at - row.since)}` : "");
    this.seen.set(fast?.heard ? (at - fast.heard < 2000 ? "now" : `${age(at - fast.heard)} ago`) : "never");
  }

  writeTags(row) {
    const tags = [];
    if (row.rehearsal) tags.push("rehearsal");
    if (row.state !== "alarm" && row.state !== "acknowledged" && row.alarm) tags.push("in alarm when last heard");
    const words = tags.join("|");
    if (this.shown.tags === words) return;
    this.shown.tags = words;
    this.tags.replaceChildren(...tags.map((tag) => el("span", { class: "tag" }, tag)));
  }

  writeWhy(row) {
    const shares = row.state === "alarm" ? row.shares : null;
    const by = row.alarm?.acknowledged;
    const seen = by ? `${by.by}${by.note ? `: ${by.note}` : ""} · ` : "";
    const whole = `${seen}${row.why ?? ""}`;
    const words = JSON.stringify([shares, row.sensors]);
    if (this.shown.why === whole && this.shown.shares === words) return;
    this.shown.why = whole;
    this.shown.shares = words;
    const brief = (row.why ?? "").replace(BEGINNING, "");
    // The bars say it better.
    const text = shortened(seen + named(shares ? brief.replace(LIST_OF_SHARES, "") : brief, row), SHORT);
    const all = seen + named(row.why ?? "", row);
    setText(this.why, text);
    this.why.title = text === all ? "" : all;
    setShown(this.shares, Boolean(shares));
    this.shares.replaceChildren(...(shares ? bars(shares, row) : []));
  }

  writeNumbers(row, fast) {
    const { rate_hz: rate, delay_s: delay } = row.state === "offline" ? {} : (fast ?? {});
    this.rate.set(rate ? `${number(rate, rate < 10 ? 2 : 3)} /s` : "–");
    this.delay.set(delay === undefined || delay === null ? "–" : duration(Math.max(0, delay) * 1000));
    this.missing.set(row.missing ? count(row.missing) : "0");
    this.missing.node.classList.toggle("is-some", row.missing > 0);
  }

  writeLabel(row) {
    if (!this.canvas) return;
    const names = [0, 1, 2, 3].map((i) => channel(row, i)).filter((each) => !each.absent);
    const label = `Last minute of ${names.map((each) => each.name).join(", ")}${row.alarm ? ", with an alarm" : ""}`;
    if (this.shown.label === label) return;
    this.shown.label = label;
    this.canvas.setAttribute("aria-label", label);
    this.canvas.title = names.map((each) => (each.unit ? `${each.name} (${each.unit})` : each.name)).join(" · ");
  }

  draw(at) {
    if (this.size?.width) drawMinute(this.canvas, this.size, this.minute, at, this.row);
  }
}

function cell(kind) {
  const text = el("span", { class: "value" });
  const node = el("td", { role: "cell", class: `${kind} number` }, text);
  return { node, set: (words) => setText(text, words) };
}

/** Bars of the shares of an alarm by sensor, as items of a <dl>. */
export function bars(shares, row) {
  const most = Math.max(...shares.map((share) => share ?? 0));
  return shares.flatMap((share, i) => {
    if (share === null) return [];
    const { name, absent } = channel(row, i);
    if (absent) return [];
    const kind = share === most && most > 0 ? "most" : null;
    const fill = el("span", { class: "fill" });
    fill.style.width = `${Math.min(100, share * 100)}%`;
    const percent = `${Math.round(share * 100)} %`;
    return [el("div", { class: kind }, el("dt", {}, foreign(name)), el("dd", {}, el("span", { class: "bar", "aria-hidden": "true" }, fill), el("span", { class: "percent" }, percent)))];
  });
}
