// Which range is shown: its presets, its place in the URL, following now, and the way back.

const SECOND = 1000, HOUR = 3600 * SECOND, DAY = 24 * HOUR;

export const PRESETS = [
  { name: "2min", label: "2 min", span: 120 * SECOND },
  { name: "1h", label: "1 h", span: HOUR },
  { name: "day", label: "day", span: DAY },
  { name: "week", label: "week", span: 7 * DAY },
  { name: "all", label: "all", span: null },
];

// Two samples of an agent at 10/s still lie in it.
const SHORTEST = 0.2 * SECOND;
const LONGEST = 20 * 366 * DAY;
// One gesture ends when nothing has come for as long.
const SETTLE_MS = 350;
// Browsers refuse more than 200 changes of the URL in 30 s.
const URL_MS = 200;

export class Timeline {
  /** `onView(isSettled)` is told of each change. URL: ?range=1h, ?last=SECONDS, or ?from=MS&to=MS. */
  constructor(onView) {
    this.onView = onView;
    this.begins = null;
    this.now = Date.now();
    this.isGesture = false;
    this.isHeld = false;
    this.depth = history.state?.depth ?? 0;
    this.extra = new URLSearchParams();
    this.read();
    addEventListener("popstate", () => {
      clearTimeout(this.settling);
      this.isGesture = false;
      this.depth = history.state?.depth ?? 0;
      this.read();
      this.onView(true);
    });
  }

  get view() {
    return { from: this.from, to: this.to, now: this.now };
  }

  get span() {
    return this.to - this.from;
  }

  read() {
    const asked = new URLSearchParams(location.search);
    for (const name of ["agents", "channel", "alarm"]) {
      if (asked.has(name)) this.extra.set(name, asked.get(name));
      else this.extra.delete(name);
    }
    const from = when(asked.get("from")), to = when(asked.get("to"));
    const last = Number(asked.get("last")) * SECOND;
    this.preset = null;
    this.isLive = false;
    if (Number.isFinite(from) && Number.isFinite(to) && to - from >= SHORTEST && to - from <= LONGEST) {
      Object.assign(this, { from, to });
    } else if (last >= SHORTEST && last <= LONGEST) {
      this.follow(last);
    } else {
      this.choose(PRESETS.find((each) => each.name === asked.get("range")) ?? PRESETS[0]);
    }
  }

  /** Another word of the URL, beside the range. */
  set(name, value) {
    this.extra.set(name, value);
    this.push();
    this.onView(true);
  }

  /** The same, without a way back; null: no such word. */
  mark(name, value) {
    if (value === null) this.extra.delete(name);
    else this.extra.set(name, value);
    this.replace(true);
  }

  follow(span) {
    this.isLive = true;
    this.to = this.now;
    this.from = this.now - span;
  }

  choose(preset) {
    this.preset = preset;
    this.follow(preset.span ?? this.whole());
  }

  whole() {
    return Math.max(60 * SECOND, this.now - (this.begins ?? this.now - DAY));
  }

  /** What the console has of this machine; only then "all" has a length. */
  setBegins(ms) {
    if (ms === null || ms === undefined || ms === this.begins) return;
    this.begins = ms;
    if (this.preset?.name === "all") {
      this.follow(this.whole());
      this.onView(true);
    }
  }

  /** The console's clock moves on; a view of the past stays where it is. */
  tick(now) {
    this.now = now;
    if (!this.isLive || this.isGesture) return;
    this.follow(this.preset?.name === "all" ? this.whole() : this.span);
  }

  show(preset) {
    this.change(() => this.choose(preset), true);
  }

  toNow() {
    const span = this.span;
    if (!this.isLive) this.change(() => this.follow(span), true);
  }

  toBegin() {
    if (this.begins !== null && this.from > this.begins) this.range(this.begins, this.begins + this.span, true);
  }

  pan(ms, isSettled = false) {
    this.range(this.from + ms, this.to + ms, isSettled);
  }

  /** Make the range `factor` times as long; what lies at `anchor` stays there. */
  zoom(factor, anchor, isSettled = false) {
    const span = Math.min(LONGEST, Math.max(SHORTEST, this.span * factor));
    const share = (anchor - this.from) / this.span;
    const from = anchor - share * span;
    this.range(from, from + span, isSettled);
  }

  /** Nothing is known of the future: a range that reaches into it ends now, and follows. */
  range(from, to, isSettled) {
    const span = Math.min(LONGEST, Math.max(SHORTEST, to - from));
    this.change(() => {
      this.preset = null;
      this.isLive = to >= this.now;
      this.to = this.isLive ? this.now : to;
      this.from = this.to - span;
    }, isSettled);
  }

  /** The range that a page begins with: the way back leads out of the page. */
  begin(from, to) {
    this.isGesture = true;
    this.range(from, to, true);
  }

  change(act, isSettled) {
    act();
    if (!this.isGesture) this.push();
    else this.replace();
    this.isGesture = true;
    clearTimeout(this.settling);
    if (isSettled) this.settle();
    else {
      this.settling = setTimeout(() => this.settle(), SETTLE_MS);
      this.onView(false);
    }
  }

  /** What is pressed upon the axis goes on with one gesture, however long the hand rests. */
  hold() {
    this.isHeld = true;
  }

  release() {
    this.isHeld = false;
    if (!this.isGesture) return;
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.settle(), SETTLE_MS);
  }

  settle() {
    this.isGesture = this.isHeld;
    this.replace(true);
    this.onView(true);
  }

  query() {
    const query = new URLSearchParams(this.extra);
    if (this.preset) query.set("range", this.preset.name);
    else if (this.isLive) query.set("last", String(Math.round(this.span / 100) / 10));
    else {
      query.set("from", String(Math.round(this.from)));
      query.set("to", String(Math.round(this.to)));
    }
    // Commas may stand in a query, and are easier to read so.
    return `?${query.toString().replaceAll("%2C", ",")}`;
  }

  /** A new entry of the browser's history; the former range stays in the one before. */
  push() {
    this.depth += 1;
    history.pushState({ depth: this.depth }, "", this.query());
    this.saidAt = performance.now();
  }

  replace(isForced = false) {
    const now = performance.now();
    if (!isForced && now - this.saidAt < URL_MS) return;
    this.saidAt = now;
    history.replaceState({ depth: this.depth }, "", this.query());
  }

  /** Whether there was a range before this one to go back to. */
  back() {
    if (this.depth > 0) history.back();
    return this.depth > 0;
  }
}

function when(text) {
  if (!text) return NaN;
  const number = Number(text);
  return Number.isFinite(number) ? number : Date.parse(text);
}
