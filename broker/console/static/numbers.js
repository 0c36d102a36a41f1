// The model's own numbers with their limits, by replay of the shown range.
import { Chart } from "./chart.js";
import { setShown, setText } from "./dom.js";
import * as format from "./format.js";
import { agentData } from "./paths.js";
import { Requests } from "./samples.js";
import { getJson, isInBanner } from "./shell.js";

// An alarm may be a thousand limits high: then each step of the axis is ten times the one below.
const FAR = 12;

export class Numbers {
  /** `host` holds the charts, `remark` the words; `onDrawn()` asks for a drawing; `onFailed(error)`. */
  constructor(agent, host, remark, { onDrawn, onFailed }) {
    Object.assign(this, { host, remark, onDrawn, charts: [], byName: new Map() });
    this.requests = new Requests(
      ({ from, to, px }) => getJson(`${agentData(agent)}/numbers?from=${from}&to=${to}&px=${px}`),
      { onAnswer: (answer) => this.take(answer), onError: (error) => this.failed(error, onFailed) },
    );
  }

  want(range) {
    this.requests.want(range);
  }

  failed(error, onFailed) {
    this.say(isInBanner(error.message) ? "" : `The model's numbers: ${error.message}`);
    onFailed(error);
  }

  say(words) {
    setText(this.remark, words);
    setShown(this.remark, Boolean(words));
  }

  take({ charts, remark }) {
    this.say(remark ? `The model's numbers: ${remark}` : charts.length ? "" : "This model has no numbers to show.");
    const names = new Set(charts.map((each) => each.name));
    for (const [name, chart] of this.byName) {
      if (names.has(name)) continue;
      chart.figure.remove();
      this.byName.delete(name);
    }
    for (const { name, t, value, limit } of charts) {
      let chart = this.byName.get(name);
      if (!chart) {
        chart = new Chart(this.host, name, "");
        chart.figure.classList.add("is-number");
        chart.onRead = (values) => setText(chart.reading, values ? read(values) : "");
        this.byName.set(name, chart);
      }
      chart.isInDecades = largest(value) > FAR * largest(limit);
      chart.note(chart.isInDecades ? "logarithmic" : "");
      const gap = spacing(t) * 4;
      const common = { t, width: 0, gap, failed: t.map(() => 0) };
      chart.series = [
        { ...common, name, lo: value, hi: value, mean: value, colour: "measure" },
        { ...common, name: "limit", lo: limit, hi: limit, mean: limit, colour: "limit", dash: [5, 4] },
      ];
    }
    this.charts = [...this.byName.values()];
    this.onDrawn();
  }
}

const largest = (values) => values.reduce((most, each) => (Number.isFinite(each) && each > most ? each : most), 0);

function read([value, limit]) {
  if (!value) return "";
  return `${format.number(value.value)}${limit ? ` (limit ${format.number(limit.value)})` : ""}`;
}

function spacing(t) {
  const apart = t.slice(1).map((at, i) => at - t[i]).sort((a, b) => a - b);
  return apart.length ? Math.max(apart[apart.length >> 1], apart[Math.floor(apart.length * 0.9)]) : 1000;
}
