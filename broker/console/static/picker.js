// Choosing machines by name.
import { el, foreign } from "./dom.js";

const collator = new Intl.Collator("en", { numeric: true });

/** Checkboxes of the machines whose name matches; `onChange(names)`. */
export function drawPicker(host, { names, chosen, most }, onChange) {
  const before = host.querySelector("input[type=search]");
  const find = before ?? el("input", { type: "search", "aria-label": "Find a machine by name", placeholder: "Find by name", "data-find": true, autocomplete: "off" });
  const list = el("ul", { class: "choices" });
  const told = el("p", { class: "dim", role: "status" });
  const isFull = chosen.length >= most;

  function draw() {
    const asked = find.value.trim().toLowerCase();
    const matching = names.filter((name) => name.toLowerCase().includes(asked)).sort(collator.compare);
    list.replaceChildren(...matching.map((name) => {
      const place = chosen.indexOf(name) + 1;
      const isChosen = place > 0;
      const box = el("input", { type: "checkbox", checked: isChosen, disabled: !isChosen && isFull, "data-name": name });
      box.addEventListener("change", () => onChange(box.checked ? [...chosen, name] : chosen.filter((each) => each !== name)));
      return el("li", {}, el("label", {}, box, foreign(name)), isChosen && el("span", { class: `nth is-s${place}` }, String(place)));
    }));
    const parts = [];
    if (isFull) parts.push(`${most} machines are the most: remove one first.`);
    if (!matching.length) parts.push("No machine has such a name.");
    told.textContent = parts.join(" ");
  }

  find.oninput = draw;
  const focused = host.contains(document.activeElement) ? document.activeElement.dataset.name : null;
  draw();
  const scrolled = host.querySelector("ul")?.scrollTop ?? 0;
  if (before) host.replaceChildren(before, list, told);
  else host.replaceChildren(find, list, told);
  list.scrollTop = scrolled;
  if (focused !== null) (host.querySelector(`[data-name="${CSS.escape(focused ?? "")}"]`) ?? find).focus({ preventScroll: true });
}
