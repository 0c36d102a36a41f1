// The page of one machine: its charts on one time axis, and beside them why, what happened, and its ledger.
import { acknowledge } from "./acknowledge.js";
import { Chart } from "./chart.js";
import { el, foreign, setShown, setText } from "./dom.js";
import * as format from "./format.js";
import { drawLedger } from "./ledger.js";
import { subscribe } from "./live.js";
import { Numbers } from "./numbers.js";
import { Plots } from "./plots.js";
import { agentData, agentOf } from "./paths.js";
import { addNote, drawRecords, reset } from "./records.js";
import { Recent, Requests, Samples } from "./samples.js";
import { because, getJson, mayWrite, start } from "./shell.js";
import { Timeline } from "./timeline.js";
import { KEYS, Toolbar } from "./toolbar.js";
import { drawWhy, opened } from "./why.js";

const LEDGER_MS = 10e3;
const RETRY_MS = 5e3;
// So few samples in view are drawn one by one.
const NEAR = 200;

const agent = agentOf(location.pathname);
const url = agentData(agent);
const $ = (id) => document.getElementById(id);

let row = null, fast = null, samples = null, version = 0, ledgerAt = 0, peer = "";
let alarms = [], charts = [], chartsKey = "", refreshAt = Infinity, numbersKey = "", retry = 0;

const recent = new Recent();
const timeline = new Timeline(viewChanged);
const plots = new Plots($("plots"), timeline, drawn, {
  alarm: (alarm) => choose(alarm.id === chosenId() ? null : alarm.id),
  note: (ms) => mayWrite() && addNote(agent, ms, refresh),
  marks: (marks) => $("records").querySelector(`[data-at="${marks[0].at}"]`)?.scrollIntoView({ block: "nearest" }),
});
const toolbar = new Toolbar($("toolbar"), timeline);
const numbers = new Numbers(agent, plots.body, $("numbers-remark"), { onDrawn: () => plots.redraw(true), onFailed: againNumbers });
const history = new Requests(({ from, to, px }) => getJson(`${url}/history?from=${from}&to=${to}&px=${px}`), {
  onAnswer: took,
  onError: (error) => failed(error.message),
  onBusy: (isBusy) => $("plots").classList.toggle("is-busy", isBusy),
});

const chosenId = () => timeline.extra.get("alarm");

/** Until when the machine is known: of one that is offline, until its last sample. */
const known = () => (row?.state === "offline" ? (fast?.taken ?? fast?.heard ?? timeline.now) : timeline.now);

function drawn() {
  const told = alarms.map((each) => format.until(each, known()));
  return { charts: [...charts, ...numbers.charts], lanes: [{ name: "alarms", alarms: told }], marks: marks(), selected: chosenId() };
}

function marks() {
  if (!samples) return [];
  const { events, notes } = samples.answer;
  const all = [...events, ...notes.map(({ at, by, text }) => ({ at, kind: "note", text: `${text} (${by})` }))];
  return all.sort((a, b) => a.at - b.at);
}

function makeCharts() {
  const told = [0, 1, 2, 3].map((i) => format.channel(row, i));
  const key = JSON.stringify(told);
  if (key === chartsKey) return;
  chartsKey = key;
  for (const chart of charts) chart.figure.remove();
  charts = [];
  told.forEach(({ name, unit, absent }, i) => {
    if (absent) return;
    const chart = new Chart(plots.body, name, unit);
    chart.index = i;
    charts.push(chart);
  });
  for (const chart of numbers.charts) plots.body.append(chart.figure);
  fillCharts();
}

function fillCharts() {
  if (!samples) return;
  for (const chart of charts) chart.series = [{ ...samples.channel(chart.index), name: chart.title, colour: `ch${chart.index + 1}` }];
}

function viewChanged(isSettled) {
  const { from, to } = timeline.view;
  toolbar.draw(url);
  plots.redraw(isSettled);
  // Between single samples a line begins and ends outside the view.
  const air = timeline.span < NEAR * (row?.period_s ?? 0) * 1000 ? 2000 * row.period_s : 0;
  history.want({ from: Math.floor(from - air), to: Math.ceil(to + air), px: plots.pixels });
  if (isSettled) {
    wantNumbers();
    drawSide();
  }
}

function wantNumbers() {
  const { from, to } = timeline.view;
  const key = `${Math.floor(from)} ${Math.ceil(to)}`;
  if (key === numbersKey) return;
  numbersKey = key;
  numbers.want({ from: Math.floor(from), to: Math.ceil(to), px: plots.pixels });
}

/** A console that could not answer is asked again; a range that it refused is not. */
function againNumbers({ status }) {
  if (status < 500) return;
  numbersKey = "";
  tryAgain();
}

function tryAgain() {
  clearTimeout(retry);
  retry = setTimeout(() => viewChanged(true), RETRY_MS);
}

/** Once more what is shown: after a note, and now and then while it follows. */
function refresh() {
  viewChanged(true);
  ledgerAt = 0;
}

function took(answer) {
  samples = new Samples(answer, row?.period_s);
  version += 1;
  if (timeline.isLive) recent.addTo(samples);
  alarms = answer.alarms;
  timeline.setBegins(answer.begins ?? answer.oldest);
  mergeOpen();
  toolbar.tell(answer);
  refreshAt = timeline.isLive ? timeline.now + Math.max(10e3, Math.min(60e3, (timeline.span / plots.pixels) * 20)) : Infinity;
  remark(answer.remarks.join(" "));
  fillCharts();
  for (const chart of charts) chart.say(answer.t.length ? "" : nothing(answer));
  plots.redraw(true);
  drawSide();
}

function remark(words) {
  setText($("remarks"), words);
  setShown($("remarks"), Boolean(words));
}

function nothing({ begins, oldest }) {
  const first = begins ?? oldest;
  if (first !== null && timeline.to < first) return `Nothing is kept of this time: records begin ${format.time(first)}.`;
  return "No sample in this range.";
}

function failed(words) {
  for (const chart of charts) chart.say("");
  remark(`The history could not be read${because(words)}`);
  tryAgain();
}

/** The alarm that the live view tells of is shown before the history has it. */
function mergeOpen() {
  const open = opened(row);
  const known = open && alarms.find((each) => each.id === open.id);
  if (known) Object.assign(known, { ended: null, reason: open.reason, shares: open.shares ?? known.shares, acknowledged: open.acknowledged });
  else if (open) alarms = [...alarms, open];
  for (const each of alarms) if (!each.ended && each.id !== open?.id) each.ended = timeline.now;
}

function choose(id) {
  timeline.mark("alarm", id);
  plots.redraw();
  drawSide();
}

function showAlarm(alarm) {
  const end = alarm.ended ?? known();
  const air = Math.max(20e3, (end - alarm.begun) * 0.5);
  timeline.mark("alarm", alarm.id);
  timeline.range(alarm.begun - air, end + air, true);
  $("plots").focus({ preventScroll: true });
}

function drawSide() {
  const chosen = alarms.find((each) => each.id === chosenId()) ?? null;
  drawWhy($("why"), { row, chosen, now: known() }, {
    acknowledge: (alarm) => acknowledge({ ...alarm, agent }, row, refresh), show: showAlarm, unselect: () => choose(null),
  });
  const { from, to } = timeline.view;
  const within = alarms.filter((each) => each.begun <= to && (each.ended ?? known()) >= from);
  drawRecords($("records"), { version, row, alarms: within, marks: marks(), selected: chosenId(), now: timeline.now }, {
    choose, show: (ms) => timeline.range(ms - timeline.span / 2, ms + timeline.span / 2, true),
  });
}

function drawHead() {
  const { word } = format.state(row.state);
  const head = $("state");
  if (head.dataset.state !== row.state) {
    head.dataset.state = row.state;
    head.className = `state is-${row.state}`;
    head.replaceChildren(format.mark(row.state), el("b", {}, word));
  }
  const since = row.since === null ? "" : `since ${format.time(row.since)} (${format.age(timeline.now - row.since)})`;
  setText($("since"), since);
  const isSilent = row.state === "offline" || row.state === "late";
  setText($("reason"), row.alarm?.reason && !isSilent ? format.reason(row.alarm.reason, row) : format.named(row.why ?? "", row));
  const facts = [];
  if (row.state === "offline") facts.push("rate \u2013", "delay \u2013");
  else if (fast?.rate_hz) facts.push(`${format.number(fast.rate_hz, 3)} samples/s`);
  if (row.state !== "offline" && fast?.delay_s !== null && fast?.delay_s !== undefined) facts.push(`${format.duration(Math.max(0, fast.delay_s) * 1000)} behind`);
  if (fast?.heard) facts.push(`last heard ${format.age(timeline.now - fast.heard)} ago`);
  if (row.missing) facts.push(format.counted(row.missing, "missing id"));
  if (peer) facts.push(`from ${peer}`);
  if (row.rehearsal) facts.push("simulation");
  setText($("facts"), facts.join(" \u00b7 "));
}

function tick(view) {
  if (view.isBrief) return;
  const before = row;
  row = view.agents.get(agent) ?? row;
  fast = view.fast.get(agent) ?? fast;
  timeline.tick(view.at);
  if (row) {
    makeCharts();
    drawHead();
    mergeOpen();
  }
  const told = view.samples?.[agent];
  const fresh = told && recent.take(told, timeline.now, view.full, samples?.answer.to);
  if (samples && fresh && timeline.isLive) {
    samples.add(fresh, timeline.now);
    samples.trim(timeline.from - timeline.span);
    if (samples.t.length) for (const chart of charts) chart.say("");
  }
  if (row && before?.alarm?.id !== row.alarm?.id) setText($("announced"), row.alarm ? `Alarm. ${format.reason(row.alarm.reason || row.why, row)}` : before ? "The alarm has ended." : "");
  const isNews = before && row && (before.alarm?.id !== row.alarm?.id || before.state !== row.state);
  if (!timeline.isGesture && (timeline.now >= refreshAt || (timeline.isLive && (view.hasGap || isNews)))) {
    refreshAt = Infinity;
    viewChanged(true);
  } else if (timeline.isLive) {
    toolbar.draw(url);
    plots.redraw();
  }
  drawSide();
  if (timeline.now - ledgerAt > LEDGER_MS || (view.full && !row)) readLedger();
}

async function readLedger() {
  ledgerAt = timeline.now;
  try {
    const told = await getJson(url);
    peer = told.peer;
    if (!row && told.row) {
      row = told.row;
      makeCharts();
      drawHead();
    }
    if (timeline.begins === null) timeline.setBegins(told.oldest);
    drawLedger($("ledger"), told);
  } catch (error) {
    $("ledger").drawnKey = "";
    $("ledger").replaceChildren(el("p", { class: "dim" }, `The ledger could not be read${because(error.message)}`));
    if (error.status === 404) gone(error.message);
  }
}

/** Nobody has heard of this machine: say so, and leave the rest away. */
function gone(words) {
  setText($("reason"), words);
  for (const place of document.querySelectorAll(".scope, .side")) place.hidden = true;
}

async function begin() {
  $("name").replaceChildren(foreign(agent));
  await start({ title: agent, keys: KEYS });
  for (const id of ["note", "reset"]) $(id).hidden = !mayWrite();
  $("note").addEventListener("click", () => addNote(agent, timeline.now, refresh));
  $("reset").addEventListener("click", () => reset(agent, refresh));
  $("compare").href = `/compare?agents=${encodeURIComponent(agent)}&channel=1`;
  const asked = new URLSearchParams(location.search);
  if (/^\d{1,19}$/.test(asked.get("alarm") ?? "") && !asked.has("from") && !asked.has("range") && !asked.has("last")) {
    const begun = Number(BigInt(asked.get("alarm")) / 1000000n);
    timeline.begin(begun - 120e3, begun + 180e3);
  }
  await readLedger();
  if (document.querySelector(".scope").hidden) return;
  viewChanged(true);
  subscribe([agent], tick);
}

begin();
