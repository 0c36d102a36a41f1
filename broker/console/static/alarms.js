// All alarms: open ones first, then newest first. The URL holds the filter.

import { acknowledge } from "./acknowledge.js";
import { alarmRow } from "./alarm-row.js";
import { el, setShown, setText } from "./dom.js";
import { counted, mark, two } from "./format.js";
import { subscribe } from "./live.js";
import { getJson, notice, setTitle, start } from "./shell.js";
import { Unseen } from "./unseen.js";
import { walk } from "./walk.js";

const PAGE = 100;
const BEHIND_MS = 2000;
const SETTLE_MS = 700; // An alarm is on record a moment after the live view shows it.
const TYPING_MS = 250;
const RETRY_MS = 5000;
const STATES = [
  ["", "", "all", null],
  ["open", "", "open", "alarm"],
  ["acknowledged", "", "acknowledged", "acknowledged"],
  ["ended", "", "ended", "normal"],
  ["ended", "no", "ended, not acknowledged", "normal"],
];
const NO_FILTER = { state: "", acknowledged: "", agent: "", from: "", to: "" };

const at = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const filter = Object.fromEntries(Object.keys(NO_FILTER).map((name) => [name, query.get(name) ?? ""]));
const unseen = new Unseen(at("unseen"));
const shown = new Map();
let hasMore = false;
let asked = 0;
let timer = 0;
let typing = 0;
let liveWords = "";
let rowsNow = new Map();

function url(extra = {}) {
  const wanted = Object.entries({ ...filter, ...extra }).filter(([, value]) => value !== "");
  return new URLSearchParams(wanted).toString();
}

/** Read the newest page again; older pages that were loaded stay. */
async function load() {
  const mine = (asked += 1);
  clearTimeout(timer);
  timer = 0;
  try {
    const wanted = [getJson(`/api/alarms?${url({ most: PAGE })}`)];
    if (!filter.state && !filter.acknowledged) wanted.push(getJson(`/api/alarms?${url({ state: "open", most: PAGE })}`));
    const [newest, open] = await Promise.all(wanted);
    if (mine !== asked) return;
    take(newest.alarms, open?.alarms ?? [], newest.more);
  } catch (error) {
    if (mine !== asked) return;
    setText(at("spoken"), error.message);
    timer = setTimeout(load, RETRY_MS);
  }
}

function take(newest, open, more) {
  const isWithin = (alarm) => !more || !newest.length || order(alarm, newest[newest.length - 1]) <= 0;
  const hasOlder = [...shown.values()].some(({ alarm }) => alarm.state !== "open" && !isWithin(alarm));
  for (const [key, { alarm, node }] of shown) {
    if (!isWithin(alarm) && alarm.state !== "open") continue;
    if ([...newest, ...open].some((each) => keyOf(each) === key)) continue;
    node.remove();
    shown.delete(key);
  }
  if (!hasOlder) hasMore = more;
  for (const alarm of [...newest, ...open]) put(alarm);
  draw();
}

function acted() {
  load();
  unseen.ask();
}

/** As pages come: newest first, and of one time by agent. */
function order(a, b) {
  if (a.id !== b.id) return BigInt(a.id) > BigInt(b.id) ? -1 : 1;
  return a.agent < b.agent ? -1 : Number(a.agent > b.agent);
}

const keyOf = (alarm) => `${alarm.id} ${alarm.agent}`;

function put(alarm) {
  const row = rowsNow.get(alarm.agent);
  const words = JSON.stringify([alarm, row?.sensors]);
  const old = shown.get(keyOf(alarm));
  if (old?.words === words && alarm.ended !== null) return;
  if (old?.words === words) {
    old.tick(Date.now());
    return;
  }
  const made = alarmRow(alarm, row, acted);
  const hadFocus = old?.node.contains(document.activeElement);
  old?.node.replaceWith(made.node);
  if (hadFocus) made.node.querySelector("a").focus();
  shown.set(keyOf(alarm), { ...made, alarm, words });
}

function draw() {
  const rank = ({ alarm }) => (alarm.state === "open" ? 0 : 1);
  const sorted = [...shown.values()].sort((a, b) => rank(a) - rank(b) || order(a.alarm, b.alarm));
  let place = at("rows").firstElementChild;
  for (const { node } of sorted) {
    if (node === place) place = place.nextElementSibling;
    else at("rows").insertBefore(node, place);
  }
  const open = sorted.filter((each) => rank(each) === 0).length;
  const isOpenKnown = !filter.acknowledged && (filter.state === "" || filter.state === "open");
  setText(at("title"), isOpenKnown ? (open ? counted(open, "open alarm") : "No open alarm") : "Alarms");
  at("title").classList.toggle("is-needy", isOpenKnown && open > 0);
  const total = `${counted(sorted.length, "alarm")}${hasMore ? " or more" : ""}`;
  setText(at("spoken"), sorted.length ? `${total}, ${open && open < sorted.length ? "open ones first, then the newest" : "newest first"}` : isWhole() ? "No alarm is on record." : "No alarm matches.");
  setShown(at("alarms"), sorted.length > 0);
  setShown(at("more-line"), hasMore);
}

const isWhole = () => url() === "";

async function older() {
  const paged = [...shown.values()].filter(({ alarm }) => filter.state === "open" || alarm.state !== "open").map(({ alarm }) => alarm);
  if (!paged.length) return;
  const last = paged.sort(order)[paged.length - 1];
  const mine = (asked += 1);
  at("more").disabled = true;
  try {
    const page = await getJson(`/api/alarms?${url({ before: `${last.id}:${last.agent}`, most: PAGE })}`);
    if (mine !== asked) return;
    hasMore = page.more;
    const first = page.alarms.find((each) => !shown.has(keyOf(each)));
    for (const alarm of page.alarms) put(alarm);
    draw();
    if (first) shown.get(keyOf(first)).node.querySelector("a").focus({ preventScroll: true });
  } catch (error) {
    notice(error.message, "error");
  } finally {
    at("more").disabled = false;
  }
}

function changed() {
  const words = url();
  history.replaceState(null, "", words ? `?${words}` : location.pathname);
  at("csv").href = `/api/alarms.csv${words ? `?${words}` : ""}`;
  setShown(at("clear"), words !== "");
  for (const button of at("states").children) button.setAttribute("aria-pressed", String(button.value === `${filter.state} ${filter.acknowledged}`));
  for (const { node } of shown.values()) node.remove();
  shown.clear();
  hasMore = false;
  load();
}

/** A part of the name is enough. */
function find() {
  clearTimeout(typing);
  const name = at("agent").value.trim();
  if (name === filter.agent) return;
  filter.agent = name;
  changed();
}


function asInput(ms) {
  if (!ms) return "";
  const d = new Date(Number(ms));
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}T${two(d.getHours())}:${two(d.getMinutes())}`;
}

function fill() {
  at("agent").value = filter.agent;
  at("from").value = asInput(filter.from);
  at("to").value = asInput(filter.to);
}

function listen() {
  for (const [state, acknowledged, word, shape] of STATES) {
    const onclick = () => (Object.assign(filter, { state, acknowledged }), changed());
    const button = el("button", { type: "button", value: `${state} ${acknowledged}`, class: `filter${shape ? ` is-${shape}` : ""}`, onclick });
    if (shape) button.append(mark(shape));
    button.append(el("span", { class: "word" }, word));
    at("states").append(button);
  }
  at("agent").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(find, TYPING_MS);
  });
  at("agent").addEventListener("change", find);
  for (const name of ["from", "to"]) {
    at(name).addEventListener("change", () => {
      const ms = new Date(at(name).value).getTime();
      filter[name] = Number.isNaN(ms) ? "" : String(ms);
      changed();
    });
  }
  at("filter").addEventListener("submit", (event) => event.preventDefault());
  at("clear").addEventListener("click", () => {
    Object.assign(filter, NO_FILTER);
    fill();
    changed();
    at("agent").focus();
  });
  at("more").addEventListener("click", older);
  walk(at("rows"), at("agent"), "a.name", { a: acknowledgeFocused });
}

function acknowledgeFocused(event) {
  const row = document.activeElement?.closest("#rows tr");
  const found = [...shown.values()].find(({ node }) => node === row);
  if (!found || found.alarm.acknowledged) return;
  event.preventDefault();
  acknowledge(found.alarm, rowsNow.get(found.alarm.agent), acted);
}

function onTick(view) {
  if (view.isBrief) return;
  rowsNow = view.agents;
  unseen.tick(view);
  const words = JSON.stringify([view.counts, ...[...view.agents].filter(([, row]) => row.alarm).map(([name, { alarm }]) => [name, alarm.id, alarm.acknowledged])]);
  for (const each of shown.values()) each.tick(view.at);
  if (liveWords && (view.hasGap || words !== liveWords)) timer ||= setTimeout(load, SETTLE_MS);
  else if (isBehind()) timer ||= setTimeout(load, BEHIND_MS);
  if (!liveWords) began(view);
  liveWords = words;
}

/** Whether the live view and the list of all alarms differ: the history is read a moment later. */
function isBehind() {
  if (!isWhole()) return false;
  const open = new Set([...shown.values()].filter(({ alarm }) => alarm.state === "open").map(({ alarm }) => alarm.agent));
  const live = [...rowsNow].filter(([, row]) => row.alarm && !row.alarm.acknowledged).map(([name]) => name);
  return live.length !== open.size || live.some((name) => !open.has(name));
}

/** The names of the agents, and of their sensors, are known. */
function began(view) {
  at("agents").replaceChildren(...[...view.agents.keys()].sort().map((name) => el("option", { value: name })));
  for (const { alarm } of [...shown.values()]) put(alarm);
  if (shown.size) draw();
}

listen();
fill();
await start({
  title: "Alarms",
  keys: [
    ["/", "find alarms by a part of the agent's name"],
    ["↓ ↑", "move through the alarms"],
    ["Enter", "open the agent at this alarm"],
    ["a", "acknowledge the alarm"],
  ],
});
setTitle("Alarms");
changed();
subscribe([], onTick);
