// Questions to a person, on <dialog>: Escape closes, the focus returns to where it was.

import { el } from "./dom.js";

let serial = 0;

/**
 * Ask, and wait for the answer: {name: text} of `fields`, or null. A field:
 * {name, label, value, isLong, isRequired, most, hint}. `isGrave` marks what cannot be undone.
 * `send(values)`: the dialog stays open with its text until this has succeeded, and shows its error.
 */
export function ask({ title, text = "", fields = [], confirm = "OK", isGrave = false, send = async () => {} }) {
  return new Promise((resolve) => {
    const inputs = fields.map(input);
    const failure = el("p", { class: "failure", role: "alert", hidden: true });
    const chief = el("button", { type: "submit", class: isGrave ? "grave" : "chief" }, confirm);
    const cancel = el("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
    const form = el(
      "form",
      { method: "dialog" },
      el("h2", { id: "ask-title" }, title),
      ...text.split("\n").filter(Boolean).map((line) => el("p", { dir: "auto" }, line)),
      ...inputs.map(({ label }) => label),
      failure,
      el("div", { class: "buttons" }, cancel, chief),
    );
    const dialog = el("dialog", { "aria-labelledby": "ask-title" }, form);
    let answer = null;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (chief.disabled) return;
      const values = Object.fromEntries(inputs.map(({ name, field }) => [name, field.value.trim()]));
      const empty = inputs.find(({ name, field }) => field.required && !values[name]);
      if (empty) {
        empty.field.focus();
        return;
      }
      chief.disabled = cancel.disabled = true;
      try {
        await send(values);
        answer = values;
        dialog.close();
      } catch (error) {
        failure.textContent = error.message;
        failure.hidden = false;
      }
      chief.disabled = cancel.disabled = false;
    });
    // What is being sent cannot be called back. A browser heeds "cancel" only once in a row.
    dialog.addEventListener("cancel", (event) => chief.disabled && event.preventDefault());
    dialog.addEventListener("keydown", (event) => chief.disabled && event.key === "Escape" && event.preventDefault());
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      form.requestSubmit();
    });
    open(dialog, () => resolve(answer));
    (inputs.find(({ field }) => !field.value) ?? inputs[0])?.field.focus();
  });
}

function input({ name, label, value = "", isLong = false, isRequired = false, most = 500, hint = "" }) {
  const id = `ask-${(serial += 1)}`;
  const field = el(isLong ? "textarea" : "input", { id, name, value, maxlength: most, required: isRequired, rows: isLong ? 3 : null, dir: "auto", autocomplete: "off" });
  if (hint) field.setAttribute("aria-describedby", `${id}-hint`);
  const hintLine = hint && el("span", { class: "dim", id: `${id}-hint` }, hint);
  return { name, field, label: el("div", { class: "field" }, el("label", { for: id }, label), field, hintLine || null) };
}

function open(dialog, onClose) {
  const before = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before instanceof HTMLElement && before.isConnected) before.focus();
    onClose();
  });
  document.body.append(dialog);
  dialog.showModal();
}

/** The keys of this page: [[keys, what they do]]. */
export function showKeys(keys) {
  const rows = [...keys, ["?", "show this list"], ["Esc", "close a dialog"], ["Ctrl+Enter", "send a dialog"]].map(([key, does]) =>
    el("tr", {}, el("th", { scope: "row" }, ...key.split(" ").map((each) => el("kbd", {}, each))), el("td", {}, does)),
  );
  const dialog = el(
    "dialog",
    { "aria-labelledby": "keys-title" },
    el(
      "form",
      { method: "dialog" },
      el("h2", { id: "keys-title" }, "Keys"),
      el("table", { class: "keys" }, el("tbody", {}, ...rows)),
      el("div", { class: "buttons" }, el("button", { type: "submit", class: "chief" }, "Close")),
    ),
  );
  open(dialog, () => {});
}
