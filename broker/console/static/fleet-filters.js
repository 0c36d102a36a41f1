// The counts by state, which are the filter as well. The URL holds what is chosen.

import { el, setText } from "./dom.js";
import { STATE_NAMES, count, mark, state } from "./format.js";

const SPEAK_MS = 5000;
const ORDER = ["alarm", "offline", "late", "acknowledged", "learning", "steady", "normal"];
const buttons = new Map();

/** {states: Set, text} as the URL has it. */
export function readFilters() {
  const query = new URLSearchParams(location.search);
  const known = [...STATE_NAMES, "person"];
  const states = (query.get("state") ?? "").split(",").filter((each) => known.includes(each));
  return { states: new Set(states), text: query.get("find") ?? "" };
}

export function writeFilters({ states, text }) {
  const query = new URLSearchParams();
  if (states.size) query.set("state", [...states].join(","));
  if (text) query.set("find", text);
  const words = query.toString().replaceAll("%2C", ",");
  history.replaceState(null, "", words ? `?${words}` : location.pathname);
}

/** Draw the buttons with their counts. Calls `onChange` after a click. */
export function drawFilters(place, view, filters, onChange) {
  if (!buttons.size) place.append(...["person", ...ORDER].map((name) => button(name, filters, onChange)));
  for (const [name, { node, number }] of buttons) {
    const n = (name === "person" ? view.needsPerson : view.counts[name]) ?? 0;
    setText(number, count(n));
    node.classList.toggle("is-none", n === 0);
    const isPressed = String(filters.states.has(name));
    if (node.getAttribute("aria-pressed") !== isPressed) node.setAttribute("aria-pressed", isPressed);
  }
}

function button(name, filters, onChange) {
  const number = el("span", { class: "count" });
  const isState = name !== "person";
  const word = isState ? state(name).word : "need a person";
  const node = el("button", { type: "button", class: `filter is-${name}`, "aria-pressed": "false" });
  if (isState) node.append(mark(name));
  node.append(number, el("span", { class: "word" }, word));
  node.addEventListener("click", () => {
    if (!filters.states.delete(name)) filters.states.add(name);
    onChange();
  });
  buttons.set(name, { node, number });
  return node;
}

let spokenAt = -SPEAK_MS;

/** Tell a screen reader the counts where they changed, at most each 5 s. */
export function speak(place, view, headline) {
  const now = performance.now();
  if (now - spokenAt < SPEAK_MS) return;
  const parts = ORDER.filter((name) => view.counts[name]).map((name) => `${view.counts[name]} ${state(name).word}`);
  const words = `${headline}: ${parts.join(", ")}`;
  if (place.textContent === words) return;
  spokenAt = now;
  place.textContent = words;
}
