// Who did what, and when: newest first, a page at a time.

import { el, foreign, setShown, setText } from "./dom.js";
import { counted, time } from "./format.js";
import { agentPage } from "./paths.js";
import { getJson, notice, start } from "./shell.js";

const PAGE = 100;

const at = (id) => document.getElementById(id);
let oldest = null;

function row({ at: ms, by, address, verb, agent, alarm, detail }) {
  const page = agent && el("a", { href: agentPage(agent, alarm ? `?alarm=${alarm}` : "") }, foreign(agent));
  const cells = { by: foreign(by), what: verb, agent: page, note: foreign(detail), from: foreign(address) };
  return el(
    "tr",
    { role: "row" },
    el("td", { role: "cell", class: "when" }, el("time", { datetime: new Date(ms).toISOString() }, time(ms))),
    ...Object.entries(cells).map(([name, content]) => el("td", { role: "cell", class: name }, content)),
  );
}

async function older() {
  at("more").disabled = true;
  try {
    const { acts, more } = await getJson(`/api/activity?most=${PAGE}${oldest === null ? "" : `&before=${oldest}`}`);
    const rows = acts.map(row);
    at("rows").append(...rows);
    if (oldest !== null) rows[0]?.querySelector("a")?.focus({ preventScroll: true });
    oldest = acts.at(-1)?.act ?? oldest;
    const n = at("rows").children.length;
    setText(at("spoken"), n ? `${counted(n, "entry", "entries")}${more ? " or more" : ""}, newest first` : "Nobody has done anything yet.");
    setShown(at("acts"), n > 0);
    setShown(at("more-line"), more);
  } catch (error) {
    if (oldest === null) setText(at("spoken"), error.message);
    else notice(error.message, "error");
  } finally {
    at("more").disabled = false;
  }
}

at("more").addEventListener("click", older);
await start({ title: "Activity" });
await older();
