// Elements without markup: text is always text.

/** An element: el("button", {type: "button", class: "quiet", onclick: f}, "Text", child). */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "value" || key === "checked") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** A name or a sentence from elsewhere, which may be written from right to left. */
export function foreign(text, props = {}) {
  return el("bdi", { dir: "auto", ...props }, text);
}

/** Set the text where it differs: an equal text costs no layout. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Show or hide. */
export function setShown(node, isShown) {
  if (node.hidden === isShown) node.hidden = !isShown;
}
