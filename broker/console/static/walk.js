// Arrow keys through the rows of a table, from the field that finds and back to it.

import { isTyping } from "./shell.js";

const STEPS = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 };

/** Let arrows move the focus through the `selector`s of visible rows. `more`: other keys. */
export function walk(body, find, selector, more = {}) {
  document.addEventListener("keydown", (event) => {
    const isFind = event.target === find;
    if (isFind ? event.key !== "ArrowDown" : isTyping(event)) return;
    if (more[event.key]) {
      more[event.key](event);
      return;
    }
    const step = STEPS[event.key];
    const target = document.activeElement;
    const isElsewhere = target !== document.body && target !== find && !body.contains(target) && target.id !== "main";
    if (!step || isElsewhere) return;
    const links = [...body.querySelectorAll(`tr:not([hidden]) ${selector}`)];
    if (!links.length) return;
    event.preventDefault();
    const row = target.closest?.("tr");
    const here = links.findIndex((link) => row?.contains(link));
    if (here < 0) links[step > 0 ? 0 : links.length - 1].focus();
    else if (here + step < 0) find.focus();
    else links[Math.min(here + step, links.length - 1)].focus();
  });
}
