// Name and password. A wrong one is told here; where the person came from is opened again.

import { setShown, setText } from "./dom.js";
import { getJson, post } from "./shell.js";

const at = (id) => document.getElementById(id);

/** Where to go after it: a page of this console, never another host. */
function next() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "/";
  try {
    const url = new URL(wanted, location.origin);
    return url.origin === location.origin ? url.pathname + url.search : "/";
  } catch {
    return "/";
  }
}

function tell(words) {
  setShown(at("error"), words !== "");
  setText(at("error"), words);
}

at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  tell("");
  at("send").disabled = true;
  try {
    await post("/api/signin", { name: at("name").value.trim(), password: at("password").value });
    location.replace(next());
  } catch (error) {
    tell(error.message);
    at("send").disabled = false;
    at("password").value = "";
    at("password").focus();
  }
});

at("send").disabled = false; // before, a form would leave this page

/** Go on where another tab has signed in. */
async function goOn() {
  const me = await getJson("/api/me");
  if (me.signed_in || !me.needs_sign_in) location.replace(next());
}

addEventListener("focus", () => goOn().catch(() => {})); // The form itself tells what is wrong.
document.addEventListener("visibilitychange", () => document.hidden || goOn().catch(() => {}));

try {
  await goOn();
} catch (error) {
  tell(error.message);
}
