// One alarm in the table.

import { acknowledge, reasonOf } from "./acknowledge.js";
import { el, foreign, setText } from "./dom.js";
import { age, duration, mark, time } from "./format.js";
import { agentPage } from "./paths.js";
import { mayWrite } from "./shell.js";

// The shape of the state that comes next to it on the fleet's page.
const SHAPES = { open: "alarm", acknowledged: "acknowledged", ended: "normal" };

/** {node, tick(now)}: the row of an alarm; `tick` writes how long an open one lasts. */
export function alarmRow(alarm, row, onDone) {
  const shape = SHAPES[alarm.state] ?? "unknown";
  const begun = time(alarm.begun);
  const name = el("a", { class: "name", href: agentPage(alarm.agent, `?alarm=${alarm.id}`), title: "Open the agent at this alarm" }, foreign(alarm.agent));
  const lasted = el("td", { role: "cell", class: "lasted number" });
  const node = el(
    "tr",
    { role: "row", "data-state": alarm.state, class: alarm.state === "open" ? "is-needy" : null },
    el("td", { role: "cell", class: "standing" }, el("span", { class: `state is-${shape}` }, mark(shape), alarm.state)),
    el("th", { role: "rowheader", scope: "row", class: "agent" }, name, row?.rehearsal ? el("span", { class: "tag" }, "rehearsal") : null),
    el("td", { role: "cell", class: "begun" }, el("time", { datetime: new Date(alarm.begun).toISOString() }, begun)),
    lasted,
    el("td", { role: "cell", class: "reason" }, foreign(reasonOf(alarm, row))),
    el("td", { role: "cell", class: "by" }, ...acknowledgement(alarm, row, onDone)),
  );
  const tick = (now) => {
    if (alarm.ended !== null) return;
    const ms = Math.max(0, now - alarm.begun);
    setText(lasted, ms < 60_000 ? age(ms) : duration(ms));
  };
  setText(lasted, alarm.ended === null ? "" : duration(alarm.ended - alarm.begun));
  tick(Date.now());
  return { node, tick };
}

function acknowledgement(alarm, row, onDone) {
  const done = alarm.acknowledged;
  if (done) {
    const note = done.note && el("span", { class: "note", dir: "auto" }, done.note);
    return [el("span", {}, foreign(done.by), el("span", { class: "dim" }, `, ${time(done.at, { seconds: false })}`)), note];
  }
  if (!mayWrite()) return [el("span", { class: "dim" }, "no")];
  const isOpen = alarm.state === "open";
  return [el("button", { type: "button", class: isOpen ? "chief" : "", "aria-label": `Acknowledge the alarm of ${alarm.agent}, ${time(alarm.begun)}`, onclick: () => acknowledge(alarm, row, onDone) }, "Acknowledge")];
}
