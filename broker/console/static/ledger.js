// The ledger of a machine's sessions: what came, what was answered, what is missing.
import { el, foreign } from "./dom.js";
import * as format from "./format.js";

// More ranges than these are told by their number.
const RANGES = 6;

export function drawLedger(host, { sessions, session_count: all, commands }) {
  const key = JSON.stringify([sessions, all, commands]);
  if (host.drawnKey === key) return;
  host.drawnKey = key;
  const before = new Map([...host.querySelectorAll("details")].map((each) => [each.dataset.session, each.open]));
  const focused = host.contains(document.activeElement) ? document.activeElement.closest("details")?.dataset.session : undefined;
  const parts = [];
  if (!sessions.length) parts.push(el("p", { class: "dim" }, "No session is on record."));
  else {
    const out = sessions.filter((each) => !each.balanced).length;
    const words = out ? `${format.counted(out, "session")} not in balance` : "in balance";
    parts.push(el("p", {}, el("b", { class: out ? "red" : "good" }, words), ` \u00b7 ${format.counted(all, "session")} on record`));
    parts.push(el("ol", { class: "sessions" }, ...sessions.map((each, i) => session(each, i === 0))));
    if (all > sessions.length) parts.push(el("p", { class: "dim" }, `The newest ${sessions.length} are shown; "broker ledger" lists all.`));
  }
  for (const { name, at, applied } of commands ?? []) {
    parts.push(el("p", { class: "dim" }, foreign(name === "rebase" ? "reset" : name), `, ${format.time(at)}: ${applied ? "done" : "waits for the next sample"}`));
  }
  host.replaceChildren(...parts);
  for (const details of host.querySelectorAll("details")) {
    const { session: id } = details.dataset;
    if (before.has(id)) details.open = before.get(id);
    if (id === focused) details.querySelector("summary").focus({ preventScroll: true });
  }
}

function session(each, isNewest) {
  const all = each.received === each.answered ? "" : ` of ${format.count(each.received)}`;
  const received = `${format.count(each.answered)}${all} answered${each.gaps ? `, ${format.count(each.gaps)} missing` : ""}`;
  const summary = el("summary", {}, el("span", { class: each.balanced ? "good" : "red" }, each.balanced ? "in balance" : "not in balance"), ` \u00b7 ${received}`);
  const facts = [
    ["session", each.session],
    ["ids", each.first_id === null ? "none" : `${each.first_id} to ${each.last_id}`],
    ["received", format.count(each.received)],
    ["sent twice", format.count(each.duplicates)],
    ["refused", format.count(each.refused)],
    ["missing", missing(each)],
    ["model", (each.digest || "unknown").slice(0, 16)],
  ];
  if (each.rehearsal) facts.push(["kind", "simulation"]);
  const list = el("dl", {}, ...facts.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, foreign(String(value)))]));
  return el("li", {}, el("details", { "data-session": each.session, open: isNewest && !each.balanced }, summary, list));
}

function missing({ gaps, missing: ranges }) {
  if (!gaps) return "none";
  const told = ranges.slice(0, RANGES).map(([a, b]) => (a === b ? String(a) : `${a} to ${b}`));
  if (ranges.length > RANGES) told.push(`${ranges.length - RANGES} more ranges`);
  return `${format.counted(gaps, "id")}: ${told.join(", ")}`;
}
