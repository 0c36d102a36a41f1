// The ranges, and in words what is shown.
import { el, setShown, setText } from "./dom.js";
import * as format from "./format.js";
import { PRESETS } from "./timeline.js";

export const KEYS = [
  ["\u2190 \u2192", "pan"],
  ["+ \u2212", "zoom in, zoom out"],
  ["1 2 3 4 5", PRESETS.map((each) => each.label).join(", ")],
  ["Home End", "to the beginning, to now"],
  ["Shift+\u2190 Shift+\u2192", "move the cursor, and read its values"],
  ["n", "add a note at the cursor, or now"],
  ["Esc", "let go of the cursor, then back to the former range"],
  ["Drag", "zoom to the dragged range; with Shift, pan"],
  ["Wheel", "zoom at the pointer; sideways, pan"],
  ["Double-click", "zoom out"],
];

export class Toolbar {
  constructor(host, timeline) {
    this.timeline = timeline;
    this.presets = PRESETS.map((preset) => {
      const button = el("button", { type: "button", onclick: () => timeline.show(preset) }, preset.label);
      return { preset, button };
    });
    const middle = () => (timeline.isLive ? timeline.to : timeline.from + timeline.span / 2);
    const closer = el("button", { type: "button", "aria-label": "Zoom in", title: "Zoom in (+)", onclick: () => timeline.zoom(1 / 1.6, middle(), true) }, "+");
    const farther = el("button", { type: "button", "aria-label": "Zoom out", title: "Zoom out (\u2212)", onclick: () => timeline.zoom(1.6, middle(), true) }, "\u2212");
    this.range = el("span", { class: "range" });
    this.level = el("span", { class: "level" });
    this.now = el("button", { type: "button", class: "chief", onclick: () => timeline.toNow() }, "Back to now");
    this.live = el("span", { class: "live" }, "following now");
    this.download = el("a", { class: "button", download: "" }, "Download CSV");
    host.append(
      el("div", { class: "group", role: "group", "aria-label": "Range" }, ...this.presets.map((each) => each.button)),
      el("div", { class: "group", role: "group", "aria-label": "Zoom" }, closer, farther),
      el("p", { class: "shown" }, this.range, this.level),
      this.live, this.now, this.download,
    );
  }

  draw(url) {
    const { timeline } = this;
    const { from, to } = timeline.view;
    for (const { preset, button } of this.presets) {
      const pressed = String(timeline.isLive && timeline.preset === preset);
      if (button.getAttribute("aria-pressed") !== pressed) button.setAttribute("aria-pressed", pressed);
    }
    const seconds = to - from < 12 * 3600e3;
    const isSameDay = format.date(from) === format.date(to);
    const first = isSameDay ? format.time(from, { seconds }) : format.time(from, { seconds, now: 0 });
    const last = format.time(to, { seconds, now: isSameDay ? to : 0 });
    setText(this.range, `${first} \u2013 ${last} \u00b7 ${format.duration(to - from)}`);
    setShown(this.now, !timeline.isLive);
    setShown(this.live, timeline.isLive);
    if (url) this.download.href = `${url}/download?from=${Math.floor(from)}&to=${Math.ceil(to)}`;
    else setShown(this.download, false);
  }

  tell({ t, level, width, v }) {
    const words = v || !width ? "each sample" : `${format.duration(width)} a point, minimum to maximum`;
    setText(this.level, t.length ? words : "");
    this.level.title = level ? `Read from: ${level}` : "";
  }
}
