// One stream of the fleet for all ports. Runs in the SharedWorker, or in the page without one.

import { readStream } from "./live-stream.js";

const SETTLE_MS = 250; // Scrolling changes what is watched many times a second.
const NARROW_MS = 30_000; // A watch that became smaller costs little: it waits for a reason.
const PING_MS = 15_000;
const MOST_UNANSWERED = 3; // Counted, not timed: while a computer sleeps, nobody is asked.
const SILENT_MS = 40_000; // The console sends a comment each 15 s, whatever happens.
const MOST_WATCHED = 200; // The console refuses more.
const RETRY_MS = [500, 1000, 2000, 4000];

/** Holds one event stream with the union of what its ports watch. */
export class Hub {
  constructor({ needsVisible = false } = {}) {
    this.needsVisible = needsVisible;
    this.ports = new Map();
    this.model = null;
    this.abort = null;
    this.watched = new Set();
    this.isMore = false; // A port wants what the stream does not carry, or the minute before now.
    this.failures = 0;
    this.lostAt = null;
    this.words = "";
    this.retry = 0;
    this.settle = 0;
    this.pings = setInterval(() => this.ping(), PING_MS);
  }

  /** Serve a port: what it says last counts. A port that was dropped comes back by speaking. */
  join(port) {
    port.onmessage = (event) => this.heard(port, event.data);
    port.start?.();
  }

  heard(port, message) {
    if (message.kind === "bye") {
      this.ports.delete(port);
      this.change();
      return;
    }
    let client = this.ports.get(port);
    if (!client) this.ports.set(port, (client = { watch: new Set(), isVisible: true, hasModel: false, unanswered: 0 }));
    client.unanswered = 0;
    if (message.kind === "want") this.want(port, client, message);
  }

  want(port, client, { watch, isVisible }) {
    const wanted = new Set(isVisible ? watch : []);
    const isMore = [...wanted].some((name) => !client.watch.has(name));
    client.watch = wanted;
    client.isVisible = isVisible;
    if (!isVisible) client.hasModel = false;
    this.sendLink(port);
    if (this.model && isVisible && !client.hasModel) this.sendAll(port, client);
    this.change(isMore);
  }

  /** Open the stream again where ports want more than it carries, or much later where less. */
  change(isMore = false) {
    clearTimeout(this.settle);
    if (!this.isWanted()) {
      this.stop();
      return;
    }
    this.isMore ||= isMore;
    if (!this.abort && this.retry) return;
    const wait = !this.abort ? 0 : this.isMore ? SETTLE_MS : NARROW_MS;
    this.settle = setTimeout(() => {
      const union = this.union();
      if (this.isMore || !this.abort || union.size < this.watched.size) this.open(union);
    }, wait);
  }

  isWanted() {
    const clients = [...this.ports.values()];
    return this.needsVisible ? clients.some((client) => client.isVisible) : clients.length > 0;
  }

  union() {
    const all = new Set([...this.ports.values()].flatMap((client) => [...client.watch]));
    return new Set([...all].slice(0, MOST_WATCHED));
  }

  stop() {
    clearTimeout(this.retry);
    this.retry = 0;
    this.abort?.abort();
    this.abort = null;
    this.model = null;
    for (const client of this.ports.values()) client.hasModel = false;
  }

  async open(watch) {
    clearTimeout(this.retry);
    this.retry = 0;
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    this.watched = watch;
    this.isMore = false;
    const query = watch.size ? `?watch=${[...watch].map(encodeURIComponent).join(",")}` : "";
    const ended = await readStream(`/api/live${query}`, abort.signal, SILENT_MS, (tick) => {
      if (this.abort === abort) this.took(tick);
    });
    if (this.abort !== abort) return;
    this.abort = null;
    this.lost(ended);
  }

  lost({ status, error }) {
    if (status === 401) {
      this.broadcast({ kind: "signin" });
      this.stop();
      return;
    }
    this.lostAt ??= Date.now();
    this.words = error;
    for (const port of this.ports.keys()) this.sendLink(port);
    const wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)];
    this.failures += 1;
    this.retry = setTimeout(() => {
      this.retry = 0;
      if (this.isWanted()) this.open(this.union());
    }, wait);
  }

  took(tick) {
    this.failures = 0;
    if (this.lostAt !== null) {
      this.lostAt = null;
      for (const port of this.ports.keys()) this.sendLink(port);
    }
    const news = this.merge(tick);
    for (const [port, client] of this.ports) {
      if (!client.isVisible) this.send(port, { kind: "tick", at: news.at, store: news.store, counts: news.counts, needsPerson: news.needsPerson });
      else if (client.hasModel) this.send(port, { kind: "tick", ...news, samples: chosen(news.samples, client.watch) });
      else this.sendAll(port, client, news);
    }
  }

  /** Take a tick into the model. Returns what changed, with whole rows. */
  merge(tick) {
    const isFirst = this.model === null;
    const model = (this.model ??= { agents: new Map(), fast: new Map(), store: null, counts: {}, needsPerson: 0, plain: null });
    const agents = {};
    for (const [name, change] of Object.entries(tick.agents ?? {})) {
      const old = model.agents.get(name);
      const row = tick.full ? change : { ...old, ...change };
      if (tick.full && old && JSON.stringify(old) === JSON.stringify(row)) continue;
      model.agents.set(name, row);
      agents[name] = row;
    }
    let gone = tick.gone ?? [];
    if (tick.full) gone = [...model.agents.keys()].filter((name) => !(name in tick.agents));
    for (const name of gone) {
      model.agents.delete(name);
      model.fast.delete(name);
    }
    const fast = {};
    for (const [name, change] of Object.entries(tick.fast ?? {})) {
      const value = { ...model.fast.get(name), ...change };
      model.fast.set(name, value);
      fast[name] = value;
    }
    if (tick.store) model.store = { ...model.store, ...tick.store };
    if (tick.counts) model.counts = tick.counts;
    if (tick.needs_person !== undefined) model.needsPerson = tick.needs_person;
    if (tick.plain) model.plain = tick.plain;
    model.at = tick.at;
    const { store, counts, needsPerson, plain } = model;
    return { at: tick.at, full: Boolean(tick.full), isFirst, store, counts, needsPerson, plain, agents, gone, fast, samples: tick.samples ?? {} };
  }

  sendAll(port, client, news = null) {
    const { agents, fast, ...rest } = this.model;
    client.hasModel = true;
    this.send(port, {
      kind: "tick",
      ...rest,
      full: true,
      isFirst: true,
      agents: Object.fromEntries(agents),
      gone: [],
      fast: Object.fromEntries(fast),
      samples: news ? chosen(news.samples, client.watch) : {},
    });
  }

  sendLink(port) {
    this.send(port, { kind: "link", lostAt: this.lostAt, words: this.lostAt === null ? "" : this.words });
  }

  send(port, message) {
    port.postMessage(message);
  }

  broadcast(message) {
    for (const port of this.ports.keys()) this.send(port, message);
  }

  /** Ask each port whether its page still lives, and drop those that did not answer. */
  ping() {
    for (const [port, client] of this.ports) {
      if (client.unanswered >= MOST_UNANSWERED) {
        this.ports.delete(port);
        this.send(port, { kind: "dropped" });
        continue;
      }
      client.unanswered += 1;
      this.send(port, { kind: "ping" });
    }
    if (!this.isWanted()) this.stop();
  }
}

function chosen(samples, watch) {
  return Object.fromEntries(Object.entries(samples).filter(([name]) => watch.has(name)));
}
