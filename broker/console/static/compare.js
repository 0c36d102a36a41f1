// One sensor of up to eight machines on one time axis.
import { Chart } from "./chart.js";
import { el, foreign, setShown, setText } from "./dom.js";
import * as format from "./format.js";
import { subscribe } from "./live.js";
import { drawPicker } from "./picker.js";
import { Plots, plain } from "./plots.js";
import { Recent, Requests, Samples } from "./samples.js";
import { agentData, agentPage } from "./paths.js";
import { getJson, isInBanner, start } from "./shell.js";
import { Timeline } from "./timeline.js";
import { KEYS, Toolbar } from "./toolbar.js";

const MOST = 8;
const RETRY_MS = 5e3;
// Told apart without colour, too.
const DASHES = [[], [7, 3], [2, 2.5], [9, 3, 2, 3], [14, 4], [4, 4], [9, 3, 2, 3, 2, 3], [1, 4]];
const $ = (id) => document.getElementById(id);

let agents = [], channel = 0, rows = new Map(), fasts = new Map(), refreshAt = Infinity, chartKey = "", legendKey = "", pickerKey = "";
let legend = new Map(), retry = 0;
const histories = new Map();
const recents = new Map();
const failures = new Map();

const timeline = new Timeline(viewChanged);
const plots = new Plots($("plots"), timeline, drawn, { alarm: (alarm) => location.assign(agentPage(alarm.agent, `?alarm=${alarm.id}`)) });
const toolbar = new Toolbar($("toolbar"), timeline);
let chart = null;
const requests = new Requests(ask, {
  onBusy: (isBusy) => $("plots").classList.toggle("is-busy", isBusy),
});

function read() {
  const asked = (timeline.extra.get("agents") ?? "").split(",").filter(Boolean);
  agents = [...new Set(asked)].slice(0, MOST);
  channel = Math.max(0, Math.min(3, Number(timeline.extra.get("channel") ?? 1) - 1 || 0));
}

/** Until when a machine is known: of one that is offline, until its last sample. */
const known = (name) => (rows.get(name)?.state === "offline" ? (fasts.get(name)?.taken ?? timeline.now) : timeline.now);

function drawn() {
  const lanes = agents.map((name, i) => ({ name: String(i + 1), title: name, key: `s${i + 1}`, alarms: (histories.get(name)?.alarms ?? []).map((each) => format.until(each, known(name))) }));
  return { charts: chart ? [chart] : [], lanes: lanes.length ? lanes : [{ name: "alarms", alarms: [] }], marks: [], selected: null };
}

/** Machines may name the same sensor otherwise: then it is told by its number. */
function makeChart() {
  const told = agents.map((name) => format.channel(rows.get(name), channel));
  const names = new Set(told.map((each) => each.name)), units = new Set(told.map((each) => each.unit));
  const title = names.size === 1 ? [...names][0] : `sensor ${channel + 1}`;
  const unit = units.size === 1 ? [...units][0] : units.size ? `units differ: ${[...units].map((each) => each || "none").join(", ")}` : "";
  if (JSON.stringify([title, unit]) === chartKey) return;
  chartKey = JSON.stringify([title, unit]);
  chart?.figure.remove();
  chart = new Chart(plots.body, title, unit);
  chart.onRead = readValues;
  fill();
}

function fill() {
  if (!chart) return;
  chart.series = agents.flatMap((name, i) => {
    const samples = histories.get(name)?.samples;
    return samples ? [{ ...samples.channel(channel), name, colour: `s${i + 1}`, dash: DASHES[i], isFaint: true, number: i + 1 }] : [];
  });
  if (!agents.length) chart.say("Choose up to eight machines.");
  else if (histories.size && chart.series.every((each) => !each.t.length)) chart.say("No sample in this range.");
  else if (chart.series.length) chart.say("");
  plots.redraw(true);
}

function viewChanged(isSettled) {
  read();
  makeChart();
  for (const name of histories.keys()) if (!agents.includes(name)) histories.delete(name);
  const { from, to } = timeline.view;
  toolbar.draw(null);
  drawLegend();
  fill();
  plots.redraw(isSettled);
  requests.want({ from: Math.floor(from), to: Math.ceil(to), px: plots.pixels, of: agents });
}

/** One after the other; a newer range ends it. */
async function ask({ from, to, px, of }) {
  for (const name of of) {
    failures.delete(name);
    try {
      took(name, await getJson(`${agentData(name)}/history?from=${from}&to=${to}&px=${px}`));
    } catch (error) {
      failures.set(name, isInBanner(error.message) ? "The history could not be read." : error.message.includes(name) ? error.message : `${name}: ${error.message}`);
    }
    remark();
    if (requests.waiting) return;
  }
  clearTimeout(retry);
  if (of.some((name) => failures.has(name))) retry = setTimeout(() => viewChanged(true), RETRY_MS);
  refreshAt = timeline.isLive ? timeline.now + Math.max(10e3, Math.min(60e3, (timeline.span / plots.pixels) * 20)) : Infinity;
}

function took(name, answer) {
  if (!agents.includes(name)) return;
  const alarms = answer.alarms.map((each) => ({ ...each, agent: name }));
  const samples = new Samples(answer, rows.get(name)?.period_s);
  if (timeline.isLive) recents.get(name)?.addTo(samples);
  histories.set(name, { samples, alarms, begins: answer.begins ?? answer.oldest });
  const begins = [...histories.values()].map((each) => each.begins).filter((each) => each !== null);
  if (begins.length) timeline.setBegins(Math.min(...begins));
  toolbar.tell(answer);
  fill();
}

function remark() {
  const words = agents.flatMap((name) => failures.get(name) ?? histories.get(name)?.samples.answer.remarks ?? []);
  setText($("remarks"), [...new Set(words)].join(" "));
  setShown($("remarks"), words.length > 0);
}

function readValues(values, isCursor) {
  chart.series.forEach((series, i) => {
    const value = legend.get(series.name)?.value;
    if (value) setText(value, values ? (values[i] ? plain(values[i], format.channel(rows.get(series.name), channel).unit) : isCursor ? "no sample" : "") : "");
  });
}

function line(i) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 34 8");
  svg.setAttribute("class", `stroke is-s${i + 1}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", "M0 4h34");
  path.setAttribute("stroke-dasharray", DASHES[i].join(" "));
  svg.append(path);
  return svg;
}

function drawLegend() {
  const query = timeline.query().replace(/[?&](agents|channel)=[^&]*/g, "").replace(/^&/, "?");
  const key = JSON.stringify([agents, query, agents.map((name) => rows.get(name)?.state)]);
  if (key === legendKey) return;
  legendKey = key;
  const before = legend;
  const focused = focusIn($("legend"));
  legend = new Map();
  $("legend").replaceChildren(...agents.map((name, i) => {
    const value = el("span", { class: "value" }, before.get(name)?.value.textContent ?? "");
    legend.set(name, { value });
    const state = rows.get(name)?.state;
    const remove = el("button", { type: "button", class: "quiet", "data-focus": `remove ${name}`, "aria-label": `Remove ${name}`, onclick: () => setAgents(agents.filter((each) => each !== name)) }, "\u00d7");
    return el("li", {}, el("span", { class: "dim" }, String(i + 1)), line(i), el("a", { href: agentPage(name, query), "data-focus": name }, foreign(name)),
      state && el("span", { class: `state is-${state}` }, format.mark(state), format.state(state).word), value, remove);
  }));
  focusAgain($("legend"), focused);
}

/** What has the focus in a part of the page that is to be made again; undefined: nothing there. */
const focusIn = (host) => (host.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined);

/** Where it was; if that is gone, where machines are chosen. */
function focusAgain(host, focused) {
  if (focused === undefined) return;
  const same = host.querySelector(`[data-focus="${CSS.escape(focused)}"]`);
  (same ?? $("picker").querySelector("input"))?.focus({ preventScroll: true });
}

function setAgents(names) {
  timeline.set("agents", names.join(","));
  live.watch(names);
  drawChoice();
}

function drawChoice() {
  const told = [0, 1, 2, 3].map((i) => format.channel(rows.get(agents[0]), i));
  const key = JSON.stringify([told, channel, agents, rows.size]);
  if (key === pickerKey) return;
  pickerKey = key;
  const focused = focusIn($("channels"));
  $("channels").replaceChildren(...told.map(({ name }, i) => {
    const button = el("button", { type: "button", "data-focus": String(i), "aria-pressed": String(i === channel), onclick: () => { timeline.set("channel", String(i + 1)); drawChoice(); } },
      foreign(name === `sensor${i + 1}` ? name : `${i + 1} ${name}`));
    return button;
  }));
  focusAgain($("channels"), focused);
  drawPicker($("picker"), { names: [...rows.keys()], chosen: agents, most: MOST }, setAgents);
}

function tick(view) {
  if (view.isBrief) return;
  rows = view.agents;
  fasts = view.fast;
  timeline.tick(view.at);
  makeChart();
  drawLegend();
  drawChoice();
  const fresh = take(view.samples ?? {}, view.full);
  if (!timeline.isGesture && (timeline.now >= refreshAt || (timeline.isLive && view.hasGap))) {
    refreshAt = Infinity;
    viewChanged(true);
    return;
  }
  if (!timeline.isLive) return;
  for (const [name, { samples, alarms }] of histories) {
    if (fresh.has(name)) samples.add(fresh.get(name), timeline.now);
    samples.trim(timeline.from - timeline.span);
    const open = rows.get(name)?.alarm;
    if (open && !alarms.some((each) => each.id === open.id)) alarms.push({ ...open, ended: null, agent: name });
    for (const each of alarms) if (!each.ended && each.id !== open?.id) each.ended = timeline.now;
  }
  toolbar.draw(null);
  plots.redraw();
}

/** By machine, the live samples that are new. */
function take(told, isWhole) {
  for (const name of recents.keys()) if (!agents.includes(name)) recents.delete(name);
  const fresh = new Map();
  for (const name of agents) {
    if (!recents.has(name)) recents.set(name, new Recent());
    const { answer } = histories.get(name)?.samples ?? {};
    if (told[name]) fresh.set(name, recents.get(name).take(told[name], timeline.now, isWhole, answer?.to));
  }
  return fresh;
}

let live = null;

async function begin() {
  await start({ title: "Compare", keys: KEYS.filter(([key]) => key !== "n") });
  read();
  viewChanged(true);
  live = subscribe(agents, tick);
  addEventListener("popstate", () => {
    live.watch(agents);
    drawChoice();
  });
}

begin();
