// The page's side of the live view: what it watches goes out, merged ticks come in.

import { Hub } from "./live-hub.js";

// A worker outlives an upgrade while any tab is open: count on when its messages change.
const WORKER = "quartet-live-2";
const WATCH_MS = 5000;
const MOST_QUIET = 8; // The hub pings each 15 s. Counted, not timed: a computer may sleep.

const subscribers = new Set();
const linkListeners = new Set();
const view = { at: 0, store: null, counts: {}, needsPerson: 0, plain: null, agents: new Map(), fast: new Map() };
let link = { lostAt: null, words: "" };
let port = null;
let hasOwnHub = false;
let hasView = false;
let said = "";
let quiet = 0;
let wasLost = false;

/**
 * Take part in the live view. `onTick` gets one merged view, valid until it returns:
 * {at, store, counts, needsPerson, plain, agents: Map name -> whole row, fast: Map, changed: names
 * whose row or fast values changed (null: any may have), samples, full}. With `full`, samples
 * replace an agent's samples before; otherwise they are to be appended. `hasGap`: the page may
 * have missed ticks before this one. `isBrief`: the page is hidden, so only counts and store
 * are of now.
 */
export function subscribe(names, onTick) {
  const subscriber = { watch: new Set(names), onTick };
  subscribers.add(subscriber);
  connect();
  tell();
  if (hasView) queueMicrotask(() => subscribers.has(subscriber) && onTick({ ...view, changed: null, samples: {}, full: true, hasGap: true }));
  return {
    watch(more) {
      subscriber.watch = new Set(more);
      tell();
    },
    close() {
      subscribers.delete(subscriber);
      tell();
    },
  };
}

/** Hear of the connection to the console: {lostAt: ms or null, words}. Calls at once, too. */
export function onLink(listener) {
  linkListeners.add(listener);
  listener(link);
}

function connect() {
  if (port) return;
  openPort();
  setInterval(watchHub, WATCH_MS);
  document.addEventListener("visibilitychange", () => tell(true));
  addEventListener("pageshow", () => tell(true));
  addEventListener("pagehide", () => port.postMessage({ kind: "bye" }));
}

function openPort() {
  if (!("SharedWorker" in self)) {
    fallBack();
    return;
  }
  const worker = new SharedWorker(new URL("live-worker.js", import.meta.url), { type: "module", name: WORKER });
  worker.onerror = () => port === worker.port && fallBack();
  listen(worker.port);
}

/** Without a SharedWorker, a page holds a stream of its own, and none while it is hidden. */
function fallBack() {
  const channel = new MessageChannel();
  hasOwnHub = true;
  new Hub({ needsVisible: true }).join(channel.port1);
  listen(channel.port2);
}

function listen(fresh) {
  port?.postMessage({ kind: "bye" });
  port?.close();
  port = fresh;
  port.onmessage = heard;
  tell(true);
}

/** A SharedWorker that ends tells nobody: the page counts how long it hears nothing. */
function watchHub() {
  quiet += 1;
  if (quiet < MOST_QUIET || hasOwnHub) return;
  quiet = 0;
  setLink({ lostAt: link.lostAt ?? Date.now() - MOST_QUIET * WATCH_MS, words: "" });
  openPort();
}

function tell(isForced = false) {
  if (!port) return;
  const watch = [...new Set([...subscribers].flatMap((each) => [...each.watch]))].sort();
  const want = { kind: "want", watch, isVisible: document.visibilityState === "visible" };
  const words = JSON.stringify(want);
  if (words === said && !isForced) return;
  said = words;
  port.postMessage(want);
}

function heard({ data }) {
  quiet = 0;
  if (data.kind === "ping") port.postMessage({ kind: "pong" });
  else if (data.kind === "dropped") tell(true);
  else if (data.kind === "link") setLink(data);
  else if (data.kind === "signin") signIn();
  else if (data.kind === "tick") took(data);
}

function setLink({ lostAt, words }) {
  link = { lostAt, words };
  wasLost ||= lostAt !== null;
  for (const listener of linkListeners) listener(link);
}

/** To the sign-in page, and back here afterwards. What is being written in a dialog comes first. */
export function signIn() {
  if (location.pathname === "/signin") return;
  const dialog = document.querySelector("dialog[open]");
  if (dialog) {
    dialog.addEventListener("close", signIn, { once: true });
    return;
  }
  const here = location.pathname + location.search;
  location.assign(`/signin?next=${encodeURIComponent(here)}`);
}

function took(tick) {
  Object.assign(view, { at: tick.at, store: tick.store, counts: tick.counts, needsPerson: tick.needsPerson });
  if (!tick.agents) {
    for (const { onTick } of subscribers) onTick({ ...view, changed: [], samples: {}, full: false, isBrief: true });
    return;
  }
  hasView = true;
  view.plain = tick.plain;
  if (tick.isFirst) {
    view.agents.clear();
    view.fast.clear();
  }
  for (const [name, row] of Object.entries(tick.agents)) view.agents.set(name, row);
  for (const [name, fast] of Object.entries(tick.fast)) view.fast.set(name, fast);
  for (const name of tick.gone) {
    view.agents.delete(name);
    view.fast.delete(name);
  }
  const changed = tick.isFirst ? null : [...new Set([...Object.keys(tick.agents), ...Object.keys(tick.fast), ...tick.gone])];
  const hasGap = Boolean(tick.isFirst) || (wasLost && tick.full);
  if (hasGap) wasLost = false;
  for (const { onTick } of subscribers) onTick({ ...view, changed, samples: tick.samples, full: tick.full, hasGap });
}
