// The alarm lane and the marks of events and notes, above the charts.
import { LEFT, RIGHT } from "./axis.js";
import { el, foreign } from "./dom.js";
import * as format from "./format.js";
import { FONT, colours, fit, scale } from "./paint.js";

// Five minutes within three days would be a pale pixel: an alarm is never narrower.
const LEAST_PX = 3;
// What a finger or a pointer may miss it by.
const NEAR_PX = 6;
const LANE_PX = 14;
// Marks nearer than this become one, with their number.
const MARK_PX = 26;

const SHAPES = {
  opened: "M3 1.5 10.5 6 3 10.5z",
  ended: "M2.5 2.5h7v7h-7z",
  superseded: "M1 2l4.5 4L1 10zM6 2l4.5 4L6 10z",
  restored: "M6 1.5a4.5 4.5 0 1 1-4.4 5.4h1.6A3 3 0 1 0 6 3v2L2.8 2.6 6 0z",
  begun: "M6 .5 7.5 4.5 11.5 6 7.5 7.5 6 11.5 4.5 7.5.5 6 4.5 4.5z",
  note: "M1.5 1.5h9v6.5H6L3 11V8H1.5z",
  other: "M4 4h4v4H4z",
};
// Of several marks in one place, the shape of the first of these.
const FIRST = ["note", "begun", "ended", "superseded", "restored", "opened"];
const WORDS = {
  opened: "stream opened", ended: "stream ended", superseded: "stream superseded", restored: "model restored",
  begun: "model begun again", note: "note",
};

export const kindWords = (kind) => WORDS[kind] ?? kind;

export function glyph(kind) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 12 12");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `glyph is-${kind in SHAPES ? kind : "other"}`);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SHAPES[kind] ?? SHAPES.other);
  svg.append(path);
  return svg;
}

export class Lane {
  /** `onMark(marks)`: the marks that a person chose. */
  constructor(host, { hasMarks = true, onMark = () => {} } = {}) {
    this.alarms = [];
    this.canvas = el("canvas", { role: "img", class: "lane", "aria-label": "Alarms" });
    this.layer = el("div", { class: "marks", role: "group", "aria-label": "Events and notes", hidden: !hasMarks });
    this.tip = el("div", { class: "tip", role: "tooltip", id: "mark-tip", hidden: true });
    this.buttons = new Map();
    this.onMark = onMark;
    host.append(el("div", { class: "lanes" }, this.canvas, this.layer, this.tip));
  }

  /** `rows`: {name, alarms} for each machine, one lane each. */
  draw(view, rows, selected) {
    this.rows = rows;
    this.view = view;
    const tall = `${Math.max(20, rows.length * LANE_PX)}px`;
    if (this.canvas.style.height !== tall) this.canvas.style.height = tall;
    const { ctx, width, height } = fit(this.canvas);
    const colour = colours(this.canvas);
    const x = scale(view, width);
    const high = height / rows.length;
    ctx.font = FONT;
    ctx.textBaseline = "middle";
    rows.forEach(({ name, alarms, key }, i) => {
      const top = i * high + 2, thick = high - 4;
      ctx.fillStyle = colour("lane");
      ctx.fillRect(LEFT, top, width - LEFT - RIGHT, thick);
      ctx.fillStyle = key ? colour(key) : colour("label");
      ctx.textAlign = "right";
      ctx.fillText(name, LEFT - 7, top + thick / 2 + 0.5, LEFT - 8);
      for (const alarm of alarms) this.bar(ctx, alarm, x, view, width, top, thick, alarm.id === selected, colour);
    });
    this.say(rows);
  }

  bar(ctx, alarm, x, view, width, top, thick, isSelected, colour) {
    const end = alarm.ended ?? view.now;
    if (end < view.from || alarm.begun > view.to) return;
    let left = Math.max(LEFT, x(alarm.begun)), right = Math.min(width - RIGHT, x(end));
    if (right - left < LEAST_PX) {
      const middle = Math.max(LEFT + LEAST_PX / 2, Math.min(width - RIGHT - LEAST_PX / 2, (left + right) / 2));
      left = middle - LEAST_PX / 2;
      right = middle + LEAST_PX / 2;
    }
    ctx.fillStyle = colour(alarm.acknowledged ? "seen" : "alarm");
    ctx.fillRect(left, top, right - left, thick);
    if (alarm.acknowledged && right - left > 8) {
      ctx.fillStyle = colour("lane");
      ctx.fillRect(left + 2, top + 2, right - left - 4, thick - 4);
    }
    if (isSelected) {
      ctx.strokeStyle = colour("ink");
      ctx.lineWidth = 2;
      ctx.strokeRect(left - 2, top - 1, right - left + 4, thick + 2);
    }
  }

  say(rows) {
    const { view } = this;
    const told = rows.map(({ name, title, alarms }) => {
      const seen = alarms.filter((each) => (each.ended ?? view.now) >= view.from && each.begun <= view.to);
      const first = seen.slice(0, 3).map((each) => `from ${format.time(each.begun)} to ${each.ended ? format.time(each.ended) : "now"}`);
      const words = format.counted(seen.length, "alarm");
      return `${title ?? name}: ${words}${first.length ? `, ${first.join("; ")}` : ""}${seen.length > 3 ? "; and more" : ""}`;
    });
    this.canvas.setAttribute("aria-label", told.join(". "));
  }

  /** The alarm nearest to a point of the lane, if one is near. */
  alarmAt(clientX, clientY) {
    const box = this.canvas.getBoundingClientRect();
    if (clientY < box.top - 4 || clientY > box.bottom + 4 || !this.rows) return null;
    const row = this.rows[Math.max(0, Math.min(this.rows.length - 1, Math.floor(((clientY - box.top) / box.height) * this.rows.length)))];
    const x = scale(this.view, box.width);
    const px = clientX - box.left;
    let best = null, least = NEAR_PX;
    for (const alarm of row.alarms) {
      const left = x(alarm.begun), right = x(alarm.ended ?? this.view.now);
      const away = px < left ? left - px : px > right ? px - right : 0;
      if (away <= least) [best, least] = [alarm, away];
    }
    return best;
  }

  /** Buttons, so that keys reach them: {at, kind, text} of each event and note. */
  mark(view, marks) {
    const width = this.canvas.clientWidth;
    const x = scale(view, width);
    const groups = [];
    for (const mark of marks) {
      const px = x(mark.at);
      if (px < LEFT || px > width - RIGHT) continue;
      const group = groups.at(-1);
      if (group && px - group.px < MARK_PX) group.marks.push(mark);
      else groups.push({ px, marks: [mark] });
    }
    const shown = new Map(groups.map((group) => [`${group.marks[0].at}:${group.marks.length}`, group]));
    const focused = this.layer.contains(document.activeElement) ? document.activeElement.dataset.at : null;
    for (const [key, button] of this.buttons) {
      if (shown.has(key)) continue;
      if (button.matches(":hover, :focus")) this.tip.hidden = true;
      button.remove();
      this.buttons.delete(key);
    }
    // The axis moves on under a finger and under the focus: a button stays the same one.
    let after = null;
    for (const [key, { px, marks: of }] of [...shown].reverse()) {
      let button = this.buttons.get(key);
      if (!button) {
        button = this.button(of);
        this.buttons.set(key, button);
        this.layer.insertBefore(button, after);
      }
      after = button;
      button.style.left = `${px}px`;
      button.classList.toggle("is-last", px > width - 44);
    }
    if (focused && !this.layer.contains(document.activeElement)) this.layer.querySelector(`[data-at="${focused}"]`)?.focus({ preventScroll: true });
  }

  button(marks) {
    const kind = FIRST.find((each) => marks.some((mark) => mark.kind === each)) ?? marks[0].kind;
    const lines = marks.slice(0, 6).map((each) => `${format.time(each.at)} ${kindWords(each.kind)}${each.text ? `: ${each.text}` : ""}`);
    if (marks.length > 6) lines.push(`and ${marks.length - 6} more`);
    const button = el("button", { type: "button", class: "event", "aria-label": lines.join(". "), "data-at": marks[0].at }, glyph(kind));
    if (marks.length > 1) button.append(el("span", { class: "many" }, marks.length > 99 ? "99+" : String(marks.length)));
    const show = () => {
      this.tip.replaceChildren(...lines.map((line) => foreign(line, { class: "line" })));
      this.tip.hidden = false;
      const most = this.layer.clientWidth - this.tip.offsetWidth;
      const px = parseFloat(button.style.left);
      this.tip.style.left = `${Math.max(0, Math.min(most, px - this.tip.offsetWidth / 2))}px`;
    };
    const hide = () => { this.tip.hidden = true; };
    for (const [name, act] of [["pointerenter", show], ["focus", show], ["pointerleave", hide], ["blur", hide]]) button.addEventListener(name, act);
    button.addEventListener("click", () => this.onMark(marks));
    return button;
  }
}
