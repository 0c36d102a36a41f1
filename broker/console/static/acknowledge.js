// The question that acknowledges an alarm.

import { reason, time } from "./format.js";
import { agentData } from "./paths.js";
import { ask, mayWrite, nameFields, notice, post } from "./shell.js";

/** Why an alarm came, in words for people. `row`: of its agent, which names the sensors. */
export const reasonOf = (alarm, row) => reason(alarm.reason, row) || "the predictor gives no reason";

/** Ask for a note and, without sign-in, the name; then acknowledge, and call `onDone()`. */
export async function acknowledge(alarm, row, onDone) {
  if (!mayWrite()) {
    notice("Only an operator can acknowledge an alarm.", "error");
    return;
  }
  const values = await ask({
    title: "Acknowledge the alarm",
    text: `${alarm.agent}, since ${time(alarm.begun)}\n${reasonOf(alarm, row)}\nThe alarm stays on record with your name, and stands below new alarms.`,
    fields: [...nameFields(), { name: "note", label: "Note (optional)", isLong: true }],
    confirm: "Acknowledge",
    send: (given) => post(`${agentData(alarm.agent)}/alarms/${alarm.id}/acknowledge`, given),
  });
  if (!values) return;
  notice(`Acknowledged the alarm of ${alarm.agent}.`);
  onDone();
}
