// What all pages share: the header, the banners, requests, and the keys.

import { ask, showKeys } from "./dialog.js";
import { el, foreign, setShown, setText } from "./dom.js";
import { time } from "./format.js";
import { onLink, signIn, subscribe } from "./live.js";

export { ask } from "./dialog.js";

const PAGES = [
  ["/", "Fleet"],
  ["/alarms", "Alarms"],
  ["/compare", "Compare"],
];
const PAGES_OF_OPERATORS = [["/activity", "Activity"]];
const NAME_KEY = "quartet.by";
const RETRY_MS = 2000;
const ANSWER_MS = 30_000;

let me = null;
let pageTitle = "";
let trouble = "";
let keysOfPage = [];

/**
 * Draw the header and the banners, and find out who is there. `keys`: [[keys, what they do]].
 * A page without `live` opens no stream.
 */
export async function start({ title = "", live = true, keys = [] } = {}) {
  pageTitle = title;
  keysOfPage = keys;
  document.title = title ? `${title} – Quartet` : "Quartet";
  const banners = el("div", { class: "banners", role: "status" });
  const header = el("header", { class: "head" });
  document.body.prepend(el("a", { class: "skip", href: "#main" }, "Skip to the content"), header, banners);
  drawHeader(header);
  addEventListener("keydown", globalKeys);
  me = await askWho(banners);
  if (me.needs_sign_in && !me.signed_in && live) {
    signIn();
    return new Promise(() => {});
  }
  drawHeader(header);
  if (live) followStore(banners);
  return me;
}

/** The body of /api/me, asked for until the console answers. */
async function askWho(banners) {
  for (;;) {
    try {
      const found = await getJson("/api/me");
      banners.replaceChildren();
      return found;
    } catch (error) {
      banners.replaceChildren(el("p", { class: "banner is-bad" }, error.message));
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

/** Whether this person may acknowledge, note and reset. */
export function mayWrite() {
  return me?.role === "operator";
}

function drawHeader(header) {
  const here = location.pathname;
  const links = [...PAGES, ...(mayWrite() ? PAGES_OF_OPERATORS : [])].map(([href, word]) => el("a", { href, "aria-current": href === here ? "page" : null }, word));
  header.replaceChildren(
    el("a", { class: "brand", href: "/" }, "Quartet"),
    el("nav", { "aria-label": "Pages" }, ...links),
    el("div", { class: "who" }, ...drawPerson()),
  );
}

function drawPerson() {
  const help = el("button", { type: "button", class: "quiet key", title: "Keys (?)", "aria-label": "Show the keys", onclick: () => showKeys(keysOfPage) }, "?");
  if (!me) return [help];
  if (me.signed_in) {
    const role = el("span", { class: "dim" }, me.role);
    const out = el("button", { type: "button", class: "quiet", onclick: signOut }, "Sign out");
    return [el("span", { class: "person" }, foreign(me.user), " ", role), out, help];
  }
  if (me.needs_sign_in) return [help];
  const name = savedName();
  const change = el("button", { type: "button", class: "quiet", title: "Your name, for acknowledgements and notes", onclick: changeName });
  change.append(...(name ? ["as ", foreign(name)] : ["Your name…"]));
  return [change, help];
}

async function changeName() {
  const values = await ask({
    title: "Your name",
    text: "This console asks for no password. Your name is written beside what you acknowledge and note.",
    fields: nameFields(true),
    confirm: "Save",
  });
  if (values) saveName(values.by);
}

async function signOut() {
  try {
    await post("/api/signout", {});
    location.assign("/signin");
  } catch (error) {
    notice(error.message, "error");
  }
}

function savedName() {
  try {
    return localStorage.getItem(NAME_KEY) ?? "";
  } catch {
    return "";
  }
}

function saveName(name) {
  try {
    localStorage.setItem(NAME_KEY, name);
  } catch {
    // A browser that keeps nothing asks again.
  }
  const header = document.querySelector("header.head");
  if (header) drawHeader(header);
}

/** The field "your name" for a dialog of ask(); none for who has signed in. */
export function nameFields(isAlways = false) {
  if (me?.signed_in && !isAlways) return [];
  return [{ name: "by", label: "Your name", value: savedName(), isRequired: true, most: 64 }];
}

/** The answer to a GET as JSON. Throws an Error with words for people; 401 goes to sign-in. */
export async function getJson(url, { signal } = {}) {
  return readAnswer(await request(url, { cache: "no-store", signal }));
}

/**
 * Send JSON with the token. A console that was started again has another token, and so has who
 * signed in again: then once more. Throws an Error with words for people.
 */
export async function post(url, body) {
  if (body.by) saveName(body.by);
  try {
    return await send(url, body);
  } catch (error) {
    if (!me || (error.status !== 403 && error.status !== 401)) throw error;
    const before = me;
    me = await getJson("/api/me");
    drawHeader(document.querySelector("header.head"));
    if (me.user && before.user !== me.user) throw new Error(`You are now signed in as ${me.user}. Send it again if that is right.`);
    if (me.token && me.token !== before.token) return send(url, body);
    if (error.status === 401) throw new Error("You are signed out. Sign in again in another tab, then try again here.");
    throw error;
  }
}

async function send(url, body) {
  const headers = { "Content-Type": "application/json", "X-Quartet-Token": me?.token ?? "" };
  return readAnswer(await request(url, { method: "POST", headers, body: JSON.stringify(body) }), true);
}

async function request(url, { signal, ...options }) {
  const silence = AbortSignal.timeout(ANSWER_MS);
  const either = signal ? AbortSignal.any([signal, silence]) : silence;
  try {
    return await fetch(url, { credentials: "same-origin", ...options, signal: either });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (error.name === "TimeoutError") throw silent();
    throw new Error("No connection to the console. Check that it runs, then try again.");
  }
}

const silent = () => new Error(`The console did not answer within ${ANSWER_MS / 1000} seconds. Try again.`);

async function readAnswer(answer, isPost = false) {
  let body = null;
  try {
    body = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (error.name === "TimeoutError") throw silent();
    // The status alone must do.
  }
  if (answer.ok) return body ?? {};
  if (answer.status === 401 && !isPost) signIn();
  const error = new Error(body?.error || `The console answered with ${answer.status}. Try again later.`);
  error.status = answer.status;
  throw error;
}

/** Say something for some seconds, at the foot of the page. `kind`: "done" or "error". */
export function notice(text, kind = "done") {
  let place = document.getElementById("notices");
  if (!place) document.body.append((place = el("div", { id: "notices", "aria-live": "polite" })));
  const close = el("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: () => box.remove() }, "×");
  const box = el("div", { class: `notice is-${kind}`, role: kind === "error" ? "alert" : null }, foreign(text), close);
  place.append(box);
  if (kind !== "error") setTimeout(() => box.remove(), 6000);
}

function followStore(banners) {
  const lost = el("p", { class: "banner is-bad", hidden: true });
  const stale = el("p", { class: "banner is-bad", hidden: true });
  const history = el("p", { class: "banner", hidden: true });
  banners.append(lost, stale, history);
  const root = document.documentElement;
  new ResizeObserver(() => root.style.setProperty("--banners", `${banners.offsetHeight}px`)).observe(banners);
  onLink(({ lostAt, words }) => {
    setShown(lost, lostAt !== null);
    root.classList.toggle("is-lost", lostAt !== null);
    if (lostAt !== null) setText(lost, `No connection to the console since ${time(lostAt)}; trying again.${words ? ` It said: ${words}` : ""}`);
  });
  subscribe([], ({ store, counts }) => {
    trouble = store?.stale ?? "";
    for (const [node, words] of [
      [stale, trouble],
      [history, isInBanner(store?.history ?? "") ? "" : store?.history],
    ]) {
      setShown(node, Boolean(words));
      setText(node, words ? sentence(words) : "");
    }
    const alarms = counts.alarm ?? 0;
    const title = pageTitle ? `${pageTitle} – Quartet` : "Quartet";
    const counted = alarms ? `(${alarms}) ${title}` : title;
    if (document.title !== counted) document.title = counted;
  });
}

/** Words as a sentence. The name of a file, before a colon, stays as it is. */
const sentence = (words) => (/^[a-z]+ /.test(words) ? words[0].toUpperCase() + words.slice(1) : words);

/** The end of a sentence about a failure: why, where the top of the page does not say it already. */
export function because(words) {
  return isInBanner(words) ? "." : `: ${words}`;
}

/** Whether the banner already says these words. */
export function isInBanner(words) {
  return Boolean(trouble) && words.includes(trouble);
}

/** Another title for this page, say the name of what it shows. */
export function setTitle(title) {
  pageTitle = title;
}

/** Whether a key belongs to what has the focus: letters to a field, all keys to a dialog. */
export function isTyping(event) {
  const target = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return true;
  if (document.querySelector("dialog[open]")) return true;
  return target instanceof Element && target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]") !== null;
}

function globalKeys(event) {
  if (isTyping(event)) return;
  if (event.key === "?") {
    event.preventDefault();
    showKeys(keysOfPage);
  }
  const find = event.key === "/" && document.querySelector("[data-find]");
  if (find) {
    event.preventDefault();
    find.focus();
    find.select?.();
  }
}
