// The history of one machine as the charts draw it, and live samples at its end.

import { firstFrom } from "./paint.js";

const RECENT_MS = 30e3;
// A sample from further in the future has a wrong time: it would keep out those that come after it.
const AHEAD_MS = 15e3;
// Live samples of a fast agent come thinned out: a shorter hole among them is none.
const LIVE_GAP_MS = 1200;

/** The answer of /history, ready to be drawn and added to. */
export class Samples {
  constructor(answer, periodS) {
    this.answer = answer;
    this.t = answer.t;
    this.width = answer.v ? 0 : answer.width;
    this.lo = answer.v ?? answer.min;
    this.hi = answer.v ?? answer.max;
    this.mean = answer.v ?? answer.mean;
    this.failed = answer.v ? null : answer.failed;
    this.n = answer.v ? null : answer.n;
    this.period = periodS ? periodS * 1000 : median(this.t);
    const usual = Math.max(this.period, Math.min(median(this.t), 10 * this.period));
    this.gap = this.width ? this.width * 1.5 : 3 * usual || LIVE_GAP_MS;
    this.live = { from: answer.to, gap: Math.max(LIVE_GAP_MS, this.gap) };
  }

  /** One sensor's part, for a chart. The arrays are shared: what is added is seen. */
  channel(i) {
    const { t, width, gap, n, period, live } = this;
    const failed = this.failed && this.failed[i];
    return { t, width, gap, n, period, live, failed, lo: this.lo[i], hi: this.hi[i], mean: this.mean[i] };
  }

  get newest() {
    return this.t.length ? this.t[this.t.length - 1] : -Infinity;
  }

  /** Add live samples {t, v, p}; those that are here already, or long after `now`, are left out. */
  add(samples, now) {
    samples.t.forEach((at, k) => {
      if (at > now + AHEAD_MS) return;
      if (this.width) this.fold(at, k, samples.v);
      else if (at > this.newest) {
        this.t.push(at);
        for (const values of new Set([this.lo, this.hi, this.mean])) values.forEach((each, i) => each.push(samples.v[i][k]));
      }
    });
  }

  /** Into the last bucket, or into a new one on the same grid. */
  fold(at, k, v) {
    const last = this.t.length - 1;
    if (last < 0 || at < this.t[last]) return;
    const steps = Math.floor((at - this.t[last]) / this.width);
    if (steps > 0) {
      this.t.push(this.t[last] + steps * this.width);
      this.n.push(0);
      for (const values of [this.lo, this.hi, this.mean]) values.forEach((each) => each.push(null));
      this.failed.forEach((each) => each.push(0));
    }
    const end = this.t.length - 1;
    this.n[end] += 1;
    for (let i = 0; i < 4; i++) {
      const value = v[i][k];
      if (value === null) {
        this.failed[i][end] += 1;
        continue;
      }
      const measured = this.n[end] - this.failed[i][end];
      const before = this.mean[i][end];
      this.lo[i][end] = before === null ? value : Math.min(this.lo[i][end], value);
      this.hi[i][end] = before === null ? value : Math.max(this.hi[i][end], value);
      // From infinity no mean comes back: the difference of two is no number.
      if (before === null) this.mean[i][end] = value;
      else if (Number.isFinite(before)) this.mean[i][end] = before + (value - before) / Math.max(1, measured);
    }
  }

  /** Let go of what lies long before the view, so that an open page does not grow. */
  trim(from) {
    let gone = 0;
    while (gone < this.t.length && this.t[gone] + this.width < from) gone += 1;
    if (gone < 2000) return;
    this.t.splice(0, gone);
    for (const values of new Set([this.lo, this.hi, this.mean])) values.forEach((each) => each.splice(0, gone));
    if (this.width) {
      this.n.splice(0, gone);
      this.failed.forEach((each) => each.splice(0, gone));
    }
  }
}

function median(times) {
  if (times.length < 3) return 0;
  const some = [];
  const stride = Math.max(1, Math.floor(times.length / 300));
  for (let i = 1; i < times.length; i += stride) some.push(times[i] - times[i - 1]);
  some.sort((a, b) => a - b);
  return some[some.length >> 1];
}

function after({ t, v }, ms) {
  const places = [...t.keys()].filter((k) => t[k] > ms);
  return { t: places.map((k) => t[k]), v: v.map((each) => places.map((k) => each[k])) };
}

/** The live samples of the last half minute: an answer does not hold those that came while it was made. */
export class Recent {
  constructor() {
    this.parts = [];
    this.heard = -Infinity;
  }

  /**
   * Keep a part that came at `now`, and give what is new in it; parts that came long before go.
   * `isWhole`: it is the whole last minute; new is what lies behind all that was heard or, where
   * nothing was, behind `to`.
   */
  take(part, now, isWhole = false, to = -Infinity) {
    const fresh = isWhole ? after(part, this.heard === -Infinity ? to : this.heard) : part;
    if (!fresh.t.length) return fresh;
    this.parts.push({ ...fresh, now });
    while (this.parts[0].now < now - RECENT_MS) this.parts.shift();
    for (const at of fresh.t) if (at > this.heard && at <= now + AHEAD_MS) this.heard = at;
    return fresh;
  }

  /** Add to `samples` what its answer cannot hold. */
  addTo(samples) {
    for (const { t, v, now } of this.parts) {
      const first = firstFrom(t, samples.answer.to);
      if (first < t.length) samples.add({ t: t.slice(first), v: v.map((each) => each.slice(first)) }, now);
    }
  }
}

/** One request at a time. What is wanted meanwhile waits, and only the newest of it comes. */
export class Requests {
  /** `ask(want)` gives a promise; `onAnswer(answer, want)`, `onError(error, want)`, `onBusy(isBusy)`. */
  constructor(ask, { onAnswer = () => {}, onError = reportError, onBusy = () => {} }) {
    Object.assign(this, { ask, onAnswer, onError, onBusy });
    this.waiting = null;
    this.isBusy = false;
  }

  want(what) {
    this.waiting = what;
    if (!this.isBusy) this.run();
  }

  async run() {
    this.isBusy = true;
    this.onBusy(true);
    while (this.waiting !== null) {
      const want = this.waiting;
      this.waiting = null;
      try {
        this.onAnswer(await this.ask(want), want);
      } catch (error) {
        this.onError(error, want);
      }
    }
    this.isBusy = false;
    this.onBusy(false);
  }
}
