// Alarms that ended before anybody acknowledged them: how many there are, and the way to them.

import { el, setShown } from "./dom.js";
import { count } from "./format.js";
import { getJson } from "./shell.js";

const DAYS = 7;
const DAY_MS = 86_400_000;
const EACH_MS = 60_000;
const SETTLE_MS = 700; // An alarm is on record a moment after the live view shows its end.
const MOST = 100;

export class Unseen {
  /** `place` is a paragraph, hidden while there are none. */
  constructor(place) {
    this.place = place;
    this.words = null;
    this.timer = 0;
    this.askedAt = performance.now();
  }

  /** Ask again where the counts of the fleet changed, and each minute. */
  tick(view) {
    const words = JSON.stringify(view.counts);
    const isDue = performance.now() - this.askedAt > EACH_MS;
    if (words === this.words && !isDue) return;
    // At first at once: what comes later moves the page.
    this.timer ||= setTimeout(() => this.ask(), this.words === null ? 0 : SETTLE_MS);
    this.words = words;
  }

  async ask() {
    this.timer = 0;
    this.askedAt = performance.now();
    const from = Math.max(0, Math.floor((Date.now() - DAYS * DAY_MS) / EACH_MS) * EACH_MS);
    const query = `state=ended&acknowledged=no&from=${from}`;
    try {
      this.draw(await getJson(`/api/alarms?${query}&most=${MOST}`), `/alarms?${query}`);
    } catch {
      // It is asked again.
    }
  }

  draw({ alarms, more }, href) {
    const n = alarms.length;
    setShown(this.place, n > 0);
    const text = n === 1 && !more ? "1 alarm ended, and nobody has acknowledged it" : `${count(n)}${more ? " or more" : ""} alarms ended, and nobody has acknowledged them`;
    this.place.replaceChildren(el("a", { href }, text), el("span", { class: "dim" }, ` · last ${DAYS} days`));
  }
}
