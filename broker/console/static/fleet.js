// The fleet: a row an agent, worst first. What is not in view costs nothing.

import { el, setShown, setText } from "./dom.js";
import { drawFilters, readFilters, speak, writeFilters } from "./fleet-filters.js";
import { FleetRow } from "./fleet-row.js";
import { count, counted } from "./format.js";
import { subscribe } from "./live.js";
import { start } from "./shell.js";
import { Unseen } from "./unseen.js";
import { walk } from "./walk.js";

const HOLD_MS = 5000; // Rows stay where they are for so long after a pointer or a key moved among them.
const SETTLE_MS = 2000; // And otherwise for so long after the last change of order.
const MOST_WATCHED = 60;

const at = (id) => document.getElementById(id);
const table = at("fleet");
const body = at("rows");
const find = at("find");
const filters = readFilters();
const unseen = new Unseen(at("unseen"));
const rows = new Map();
const byNode = new WeakMap();
const visible = new Set();
const collator = new Intl.Collator("en", { numeric: true });

let touchedAt = -HOLD_MS;
let orderedAt = -SETTLE_MS;
let isDisordered = false;
let secondAt = 0;
let isTopAway = false;
let live = null;
let last = null;

const sizes = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    if (!target.owner?.canvas) continue;
    target.owner.size = { width: contentRect.width, height: contentRect.height };
    if (last) target.owner.draw(last.at);
  }
});

const seen = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      const row = byNode.get(target);
      if (!row) continue;
      row.show(isIntersecting, sizes);
      if (isIntersecting) visible.add(row);
      else visible.delete(row);
      if (isIntersecting && last) row.write(last.at, true);
      if (isIntersecting) row.writeLabel(row.row);
    }
    live?.watch([...visible].slice(0, MOST_WATCHED).map((row) => row.name));
  },
  { rootMargin: "150px" },
);

new IntersectionObserver(([{ isIntersecting }]) => {
  isTopAway = !isIntersecting;
  if (last) drawSummary(last);
}).observe(at("headline"));

function onTick(view) {
  if (document.hidden || view.isBrief) return;
  last = view;
  unseen.tick(view);
  takeRows(view);
  const now = performance.now();
  const mayMove = now - touchedAt > HOLD_MS && now - orderedAt > SETTLE_MS;
  if (isDisordered && mayMove) reorder();
  const isSecond = now - secondAt > 950;
  if (isSecond) secondAt = now;
  for (const row of visible) {
    row.write(view.at, isSecond);
    const samples = view.samples[row.name];
    if (samples) row.minute.take(samples, view.full);
    row.draw(view.at);
  }
  drawSummary(view);
}

function takeRows(view) {
  const names = view.changed ?? [...new Set([...view.agents.keys(), ...rows.keys()])];
  const fresh = [];
  for (const name of names) {
    const value = view.agents.get(name);
    let row = rows.get(name);
    if (!value) {
      if (row) remove(row);
      continue;
    }
    if (!row) {
      row = new FleetRow(name);
      rows.set(name, row);
      byNode.set(row.node, row);
      fresh.push(row);
    }
    if (row.row === value && row.fast === view.fast.get(name)) continue;
    const isOther = row.row !== value;
    row.take(value, view.fast.get(name));
    if (!isOther) continue;
    showRow(row);
    if (row.placed !== row.key) isDisordered = true;
  }
  if (!fresh.length) return;
  for (const row of fresh) row.write(view.at, true);
  reorder();
  for (const row of fresh) seen.observe(row.node);
}

/** Show or hide a row as the filters want it. */
function showRow(row) {
  const isShown = matches(row);
  if (!isShown) leave(row);
  setShown(row.node, isShown);
}

/** Before a row goes, its focus moves to the next one. */
function leave(row) {
  if (!row.node.contains(document.activeElement)) return;
  let next = row.node.nextElementSibling;
  while (next?.hidden) next = next.nextElementSibling;
  (next?.querySelector("a.name") ?? find).focus({ preventScroll: true });
}

function remove(row) {
  leave(row);
  seen.unobserve(row.node);
  row.show(false, sizes);
  visible.delete(row);
  row.node.remove();
  rows.delete(row.name);
}

/** Move the rows whose rank changed; the others are not touched. Focus and view stay with the person. */
function reorder() {
  isDisordered = false;
  orderedAt = performance.now();
  const order = [...rows.values()].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : collator.compare(a.name, b.name)));
  const focused = body.contains(document.activeElement) ? document.activeElement : null;
  const top = focused?.getBoundingClientRect().top;
  let next = null;
  for (const row of order.reverse()) {
    if (row.placed !== row.key) body.insertBefore(row.node, next);
    row.placed = row.key;
    next = row.node;
  }
  if (!focused) return;
  if (document.activeElement !== focused) focused.focus({ preventScroll: true });
  scrollBy(0, focused.getBoundingClientRect().top - top);
}

function matches({ name, row }) {
  const { states, text } = filters;
  if (text && !name.toLowerCase().includes(text.toLowerCase())) return false;
  return !states.size || states.has(row.state) || (states.has("person") && row.needs_person);
}

function filter() {
  writeFilters(filters);
  for (const row of rows.values()) showRow(row);
  if (last) drawSummary(last);
}

function headline({ store, needsPerson: needs }, total) {
  if (store?.running === false) return "The broker does not run";
  if (needs) return `${counted(needs, "agent")} ${needs === 1 ? "needs" : "need"} a person`;
  if (total) return "No agent needs a person";
  return store?.stale || store?.history ? "No agent is known" : "No agents yet";
}

function drawSummary(view) {
  const total = view.agents.size;
  const needs = view.needsPerson;
  const isRunning = view.store?.running !== false;
  const words = headline(view, total);
  setText(at("headline"), words);
  at("headline").classList.toggle("is-needy", needs > 0 || !isRunning);
  setShown(at("up"), isTopAway && (needs > 0 || !isRunning));
  setText(at("up"), `↑ ${words}`);
  setText(at("subline"), total ? (isRunning ? `of ${counted(total, "agent")}` : `${counted(total, "agent")}, as last heard`) : "");
  setShown(at("tools"), total > 0);
  drawFilters(at("filters"), view, filters, filter);
  speak(at("spoken"), view, words);
  const hasFilter = filters.states.size > 0 || filters.text !== "";
  const isAnyShown = [...rows.values()].some((row) => !row.node.hidden);
  setShown(table, isAnyShown);
  setShown(at("order"), isAnyShown);
  drawEmpty(total, hasFilter && !isAnyShown, view.store?.stale);
  drawPlain(view.plain);
}

let emptyKind = null;

function drawEmpty(total, isFiltered, trouble) {
  const kind = total === 0 ? (trouble ? "" : "none") : isFiltered ? "filtered" : "";
  setShown(at("empty"), kind !== "");
  if (kind === emptyKind) return;
  emptyKind = kind;
  if (kind === "none") {
    at("empty").replaceChildren(
      el("p", {}, "No agent has sent a sample to this broker. An agent appears here with its first sample."),
      el("p", {}, "On a device with sensors:"),
      el("pre", { tabindex: "0" }, "agent run --broker HOST:PORT"),
      el("p", {}, "To try it with a recording:"),
      el("pre", { tabindex: "0" }, "agent run --simulate dataset/sensors.csv --loop --broker HOST:PORT"),
    );
  } else if (kind === "filtered") {
    at("empty").replaceChildren(el("p", {}, "No agent matches."), el("button", { type: "button", onclick: clear }, "Show all agents"));
  }
}

function drawPlain(plain) {
  const streams = plain?.streams ?? 0;
  const answered = plain?.answered ?? 0;
  setShown(at("plain"), streams > 0 || answered > 0);
  setText(at("plain-title"), `${counted(streams, "stream")} without an agent's name`);
  setText(at("plain-text"), `${count(answered)} samples answered. Clients that send no agent metadata have no history, so they have no rows here.`);
}

function clear() {
  filters.states.clear();
  filters.text = find.value = "";
  filter();
  find.focus();
}

function touched() {
  touchedAt = performance.now();
}

function findKeys(event) {
  if (event.key === "Escape" && find.value) {
    event.preventDefault();
    filters.text = find.value = "";
    filter();
  } else if (event.key === "Enter") {
    body.querySelector("tr:not([hidden]) a.name")?.focus();
  }
}

function openRow(event) {
  const link = event.target.closest("tr")?.querySelector("a.name");
  if (!link || event.target.closest("a") || String(getSelection())) return;
  link.dispatchEvent(new MouseEvent("click", { bubbles: false, cancelable: true, ctrlKey: event.ctrlKey, metaKey: event.metaKey }));
}

for (const kind of ["pointermove", "pointerdown", "focusin"]) table.addEventListener(kind, touched, { passive: true });
body.addEventListener("click", openRow);
body.addEventListener("keydown", touched);
find.addEventListener("keydown", findKeys);
walk(body, find, "a.name");
find.value = filters.text;
find.addEventListener("input", () => {
  filters.text = find.value.trim();
  filter();
});

await start({
  keys: [
    ["/", "find an agent by name"],
    ["↓ ↑", "move through the agents"],
    ["Enter", "open the agent"],
    ["Esc", "clear the name"],
  ],
});
live = subscribe([], onTick);
