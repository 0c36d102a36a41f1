// What happened within the shown range, and what a person may write to it.
import { el, foreign } from "./dom.js";
import * as format from "./format.js";
import { glyph, kindWords } from "./lane.js";
import { agentData } from "./paths.js";
import { ask, nameFields, notice, post } from "./shell.js";

const MOST = 60;

/** Alarms, events and notes, newest first; `version` tells one history from the next. `on`: {choose(id), show(ms)}. */
export function drawRecords(host, { version, row, alarms, marks, selected, now }, on) {
  const key = JSON.stringify([version, alarms.map(({ id, ended, acknowledged }) => [id, ended, acknowledged?.at]), marks.length, selected, row?.sensors]);
  if (host.dataset.key === key) return;
  host.dataset.key = key;
  const focused = host.contains(document.activeElement) ? document.activeElement.dataset.at : null;
  if (!alarms.length && !marks.length) {
    host.replaceChildren(el("p", { class: "dim" }, "Nothing happened in this range."));
    return;
  }
  host.replaceChildren(
    ...list("Alarms", [...alarms].sort((a, b) => b.begun - a.begun), (alarm) => alarmEntry(alarm, row, selected, now, on)),
    ...list("Events and notes", [...marks].reverse(), (mark) => markEntry(mark, on)),
  );
  if (focused) host.querySelector(`[data-at="${focused}"]`)?.focus({ preventScroll: true });
}

function list(title, entries, row) {
  if (!entries.length) return [];
  const more = entries.length - MOST;
  return [
    el("h3", {}, title, " ", el("span", { class: "dim" }, format.count(entries.length))),
    el("ol", {}, ...entries.slice(0, MOST).map(row)),
    ...(more > 0 ? [el("p", { class: "dim" }, `${format.count(more)} more: choose a shorter range.`)] : []),
  ];
}

function alarmEntry(alarm, row, selected, now, on) {
  const isChosen = alarm.id === selected;
  const length = format.duration((alarm.ended ?? now) - alarm.begun);
  const words = ["alarm", alarm.ended && length, alarm.acknowledged ? "acknowledged" : !alarm.ended && "open"].filter(Boolean).join(", ");
  const button = el("button", { type: "button", "aria-pressed": String(isChosen), "data-at": alarm.begun, onclick: () => on.choose(isChosen ? null : alarm.id) },
    format.mark(alarm.acknowledged ? "acknowledged" : "alarm"), el("time", {}, format.time(alarm.begun)),
    el("span", { class: "text" }, el("b", {}, words), alarm.reason ? ": " : "", foreign(format.reason(alarm.reason, row))));
  return el("li", {}, button);
}

function markEntry({ at, kind, text }, on) {
  const button = el("button", { type: "button", "data-at": at, onclick: () => on.show(at) }, glyph(kind), el("time", {}, format.time(at)),
    el("span", { class: "text" }, kindWords(kind), text ? ": " : "", foreign(text ?? "")));
  return el("li", {}, button);
}

export async function addNote(agent, at, done) {
  const values = await ask({
    title: "Add a note",
    text: `For ${agent} at ${format.time(at)}.`,
    fields: [...nameFields(), { name: "text", label: "Note", isLong: true, isRequired: true }],
    confirm: "Add the note",
    send: (given) => post(`${agentData(agent)}/notes`, { at: Math.round(at), ...given }),
  });
  if (values) tell("The note is on the time axis.", done);
}

export async function reset(agent, done) {
  let isRunning = false;
  const values = await ask({
    title: "Reset the model",
    text: `The model of ${agent} forgets its baseline (what it has learned to be normal) and the state of its alarm.\n`
      + "It learns again from the next sample, and raises no alarm until it has learned.\nAll records stay: samples, answers, alarms and notes.",
    fields: nameFields(),
    confirm: "Reset the model",
    isGrave: true,
    send: async (given) => {
      isRunning = (await post(`${agentData(agent)}/rebase`, given)).running;
    },
  });
  if (values) tell(isRunning ? "The model is reset with the next sample." : "The broker does not run: the model is reset once it does.", done);
}

function tell(words, done) {
  notice(words);
  done();
}
