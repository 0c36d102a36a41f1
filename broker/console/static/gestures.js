// Pointer, wheel and keys upon a time axis.
import { LEFT, RIGHT } from "./axis.js";
import { PRESETS } from "./timeline.js";

// A press that moves less is a click.
const CLICK_PX = 4;
const STEP = 0.2;
const ZOOM = 1.6;

/**
 * `host` is the focusable place of the charts. `on`: {cursor(ms or null, byKey), select(from, to or
 * null), click(ms, event), note(ms), step()}: the last is the time between two values on screen.
 */
export function attach(host, timeline, on) {
  const pointers = new Map();
  let press = null, pinch = null;

  const box = () => host.getBoundingClientRect();
  const timeAt = (clientX) => {
    const { left, width } = box();
    const share = (clientX - left - LEFT) / (width - LEFT - RIGHT);
    return timeline.from + share * timeline.span;
  };
  const isInside = (clientX) => clientX >= box().left + LEFT && clientX <= box().right - RIGHT;
  const clamp = (ms) => Math.max(timeline.from, Math.min(timeline.to, ms));
  const perPixel = () => timeline.span / (box().width - LEFT - RIGHT);
  const isControl = (target) => target.closest("button, a, input, select, textarea") !== null;

  host.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || isControl(event.target) || !isInside(event.clientX)) return;
    host.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event.clientX);
    timeline.hold();
    if (pointers.size === 2) {
      press = null;
      on.select(null);
      const [a, b] = [...pointers.values()];
      pinch = { apart: Math.max(12, Math.abs(a - b)), middle: (a + b) / 2 };
      return;
    }
    const isPan = event.shiftKey || event.pointerType === "touch";
    press = { x: event.clientX, last: event.clientX, at: timeAt(event.clientX), isPan, isMoved: false };
    if (event.pointerType !== "touch") event.preventDefault();
    host.focus({ preventScroll: true });
  });

  host.addEventListener("pointermove", (event) => {
    if (pointers.has(event.pointerId)) pointers.set(event.pointerId, event.clientX);
    if (pinch && pointers.size === 2) {
      const [a, b] = [...pointers.values()];
      const apart = Math.max(12, Math.abs(a - b)), middle = (a + b) / 2;
      timeline.pan((pinch.middle - middle) * perPixel());
      timeline.zoom(pinch.apart / apart, timeAt(middle));
      pinch = { apart, middle };
    } else if (press) {
      if (Math.abs(event.clientX - press.x) > CLICK_PX) press.isMoved = true;
      if (press.isMoved && press.isPan) {
        timeline.pan((press.last - event.clientX) * perPixel());
        press.last = event.clientX;
      } else if (press.isMoved) {
        on.select(clamp(press.at), clamp(timeAt(event.clientX)));
      }
    }
    on.cursor(isInside(event.clientX) && !isControl(event.target) ? timeAt(event.clientX) : null);
  });

  const end = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (pointers.size === 0) timeline.release();
    if (pinch) {
      if (pointers.size === 0) pinch = null;
      return;
    }
    const done = press;
    press = null;
    on.select(null);
    if (!done || event.type === "pointercancel") return;
    if (!done.isMoved) on.click(timeAt(event.clientX), event);
    else if (!done.isPan) {
      const ends = [clamp(done.at), clamp(timeAt(event.clientX))].sort((a, b) => a - b);
      timeline.range(ends[0], ends[1], true);
      on.cursor(null); // Another time lies under the pointer now.
    }
  };
  host.addEventListener("pointerup", end);
  host.addEventListener("pointercancel", end);
  host.addEventListener("pointerleave", () => on.cursor(null));

  host.addEventListener("dblclick", (event) => {
    if (isControl(event.target)) return;
    event.preventDefault();
    timeline.zoom(4, timeAt(event.clientX), true);
  });

  host.addEventListener("wheel", (event) => {
    // Beside the charts, and with ctrl, the wheel stays the browser's.
    if (event.ctrlKey || !isInside(event.clientX)) return;
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
    const across = event.shiftKey ? event.deltaX || event.deltaY : event.deltaX;
    if (Math.abs(across) > Math.abs(event.deltaY) || event.shiftKey) timeline.pan(across * unit * perPixel());
    else if (event.deltaY) timeline.zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY * unit * 0.0022))), clamp(timeAt(event.clientX)));
  }, { passive: false });

  let cursor = null;
  const step = (ms) => {
    cursor = clamp((cursor !== null && cursor >= timeline.from ? cursor : timeline.to) + ms);
    on.cursor(cursor, true);
  };
  const middle = () => (timeline.isLive ? timeline.to : timeline.from + timeline.span / 2);
  const keys = {
    ArrowLeft: (event) => (event.shiftKey ? step(-on.step()) : timeline.pan(-timeline.span * STEP)),
    ArrowRight: (event) => (event.shiftKey ? step(on.step()) : timeline.pan(timeline.span * STEP)),
    "+": () => timeline.zoom(1 / ZOOM, middle()),
    "-": () => timeline.zoom(ZOOM, middle()),
    Home: () => timeline.toBegin(),
    End: () => timeline.toNow(),
    n: () => on.note(cursor ?? timeline.to),
    Escape: () => {
      if (press) on.select(press = null);
      else if (cursor !== null) on.cursor(cursor = null, true);
      else timeline.back();
    },
  };
  keys["="] = keys["+"];
  PRESETS.forEach((preset, i) => (keys[i + 1] = () => timeline.show(preset)));

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
    const target = event.target;
    if (target.closest("input, select, textarea")) return;
    if (target !== document.body && !target.closest("[data-keys]")) return;
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act(event);
  });
}
