// Why there is, or was, an alarm: the sentence, bars by sensor, and who has taken note of it.
import { el, foreign, setText } from "./dom.js";
import { bars } from "./fleet-row.js";
import * as format from "./format.js";
import { mayWrite } from "./shell.js";

/**
 * Show the alarm that was chosen, else the open one, else that there is none. `on`: {acknowledge(alarm),
 * show(alarm), unselect()}.
 */
export function drawWhy(host, { row, chosen, now }, on) {
  const alarm = chosen ?? opened(row);
  const key = JSON.stringify([alarm, row?.state, row?.why, row?.sensors, row?.learning, mayWrite()]);
  const lasting = host.querySelector(".lasting");
  if (alarm && !alarm.ended && lasting) setText(lasting, `, for ${format.duration(now - alarm.begun)}`);
  if (host.dataset.key === key) return;
  const focused = host.contains(document.activeElement) ? document.activeElement.dataset.act : null;
  host.dataset.key = key;
  host.replaceChildren(...(alarm ? ofAlarm(row, alarm, Boolean(chosen), now, on) : ofNone(row)));
  if (focused) host.querySelector(`[data-act="${focused}"]`)?.focus({ preventScroll: true });
}

/** The alarm that is open now, as the live view tells it. */
export function opened(row) {
  if (!row?.alarm) return null;
  return { ...row.alarm, ended: null, shares: row.shares, reason: row.alarm.reason || row.why };
}

function ofNone(row) {
  if (!row) return [el("p", { class: "dim" }, "Nothing is known yet.")];
  const words = [el("p", {}, "No alarm now.")];
  if (row.why) words.push(el("p", { class: "sentence" }, foreign(format.named(row.why, row))));
  if (row.learning) words.push(el("p", { class: "dim" }, `The model learns: ${format.count(row.learning[0])} of ${format.count(row.learning[1])} samples.`));
  if (row.shift) words.push(el("p", { class: "dim" }, "The model has accepted this level by itself. Reset the model to make it the normal one."));
  words.push(el("p", { class: "dim" }, "Click an alarm in the lane, or choose one below, to see its reasons."));
  return words;
}

function ofAlarm(row, alarm, isChosen, now, on) {
  const isOpen = !alarm.ended, isSilent = row?.state === "offline" || row?.state === "late";
  const length = format.duration((alarm.ended ?? now) - alarm.begun);
  const parts = [
    el("p", { class: "when" }, el("b", { class: isOpen ? "red" : null }, isOpen ? (isSilent ? "In alarm when last heard" : "Alarm now") : "Alarm"),
      ` ${isOpen ? "since" : "from"} ${format.time(alarm.begun)}`,
      isOpen ? el("span", { class: "lasting" }, `, for ${length}`) : ` to ${format.time(alarm.ended)}, ${length}`),
    el("p", { class: "sentence" }, alarm.reason ? foreign(format.reason(alarm.reason, row)) : "The model gave no explanation."),
  ];
  if (alarm.shares) parts.push(shareBars(row, alarm.shares));
  parts.push(...acknowledged(alarm));
  const buttons = [];
  if (!alarm.acknowledged && mayWrite()) buttons.push(button("Acknowledge\u2026", "acknowledge", () => on.acknowledge(alarm), "chief"));
  buttons.push(button("Show it", "show", () => on.show(alarm)));
  if (isChosen) buttons.push(button("Close", "close", () => on.unselect(), "quiet"));
  parts.push(el("div", { class: "buttons" }, ...buttons));
  return parts;
}

const button = (text, act, onclick, name = null) => el("button", { type: "button", class: name, "data-act": act, onclick }, text);

function acknowledged({ acknowledged: seen }) {
  if (!seen) return [];
  const words = el("p", { class: "seen" }, "Acknowledged by ", foreign(seen.by), `, ${format.time(seen.at)}`);
  if (seen.note) words.append(": ", foreign(seen.note));
  return [words];
}

function shareBars(row, shares) {
  const list = el("dl", { class: "shares", "aria-label": "Share of each sensor, as the alarm came" });
  list.append(...bars(shares, row));
  return list;
}
