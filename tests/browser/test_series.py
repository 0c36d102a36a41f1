"""What the charts keep of live samples, in the browser's own modules."""

from typing import Any

import pytest
from playwright.async_api import Browser
from support.site import Console
from support.window import window

_TOOLS = """
    const { Recent, Samples } = await import("/static/samples.js");
    const { Minute, drawMinute } = await import("/static/spark.js");
    const { valueTicks } = await import("/static/axis.js");
    const { number } = await import("/static/format.js");
    const four = (values) => [values, values, values, values].map((each) => [...each]);
    const part = (t, values = t) => ({ t, v: four(values), p: t.map(() => 0) });
    const points = (t) => new Samples({ t, v: four(t), to: 1000 }, 1);
    const buckets = (mean) => new Samples({
        t: [0], width: 1000, min: four([mean]), max: four([mean]), mean: four([mean]),
        failed: four([0]), n: [1], to: 1000 }, 1);
"""
_CASES: dict[str, tuple[str, Any]] = {
    "a sample of the future does not stop the tail": (
        """const all = points([1000]);
        all.add(part([2000, 9e9]), 2000);
        all.add(part([3000]), 3000);
        return all.t;""",
        [1000, 2000, 3000],
    ),
    "what came within half a minute is kept, whatever its time": (
        """const recent = new Recent();
        recent.take(part([9e9]), 1000);
        for (let now = 2000; now <= 60000; now += 1000) recent.take(part([now]), now);
        return recent.parts.length;""",
        31,
    ),
    "of a minute that is told again, only what is new is taken": (
        """const recent = new Recent();
        const first = recent.take(part([1000, 2000, 3000, 9e9]), 3000, true, 1500).t;
        recent.take(part([4000]), 4000);
        return [first, recent.take(part([3000, 4000, 5000]), 5000, true, 1500).t];""",
        [[2000, 3000, 9e9], [5000]],
    ),
    "a mark stays the same button while the axis moves": (
        """const { Lane } = await import("/static/lane.js");
        const lane = new Lane(document.querySelector("main"));
        const marks = [{ at: 5000, kind: "note", text: "" }, { at: 9000, kind: "note", text: "" }];
        lane.mark({ from: 0, to: 9000, now: 9000 }, marks.slice(0, 1));
        const first = lane.layer.firstChild, { left } = first.style;
        first.focus();
        lane.mark({ from: 1000, to: 10000, now: 10000 }, marks);
        return [first === lane.layer.firstChild, first === document.activeElement,
            first.style.left !== left, lane.layer.children.length];""",
        [True, True, True, 2],
    ),
    "a mean with an infinite value in it stays infinite": (
        """const all = buckets(1);
        for (const value of [Infinity, 2, Infinity, -Infinity]) all.add(part([500], [value]), 500);
        return String(all.mean[0]);""",
        "Infinity",
    ),
    "large values keep apart on the axis": (
        """const labels = [[1013000, 1013400], [1e9, 1e9 + 300], [1e-6, 1.01e-6], [-1e8, 1e8]]
            .map(([low, high]) => valueTicks(low, high, 180).ticks.map((each) => each.label));
        return labels.map((each) => each.length > 1 && new Set(each).size === each.length);""",
        [True] * 4,
    ),
    "no digit before the point is lost": (
        """return [101325.4, 1234.56, 0, 0.123456, 9999999].map((each) => number(each));""",
        ["101325", "1234.6", "0", "0.12346", "9999999"],
    ),
    "an opened session stays open, and keeps the focus": (
        """const { drawLedger } = await import("/static/ledger.js");
        const host = document.querySelector("main");
        const of = (session, received) => ({ session, received, answered: received, balanced: true,
            gaps: 0, missing: [], first_id: 1, duplicates: 0, refused: 0, digest: "" });
        drawLedger(host, { sessions: [of("a", 1)], session_count: 1 });
        host.querySelector("details").open = true;
        host.querySelector("summary").focus();
        drawLedger(host, { sessions: [of("b", 1), of("a", 2)], session_count: 2 });
        const [b, a] = host.querySelectorAll("details");
        return [b.open, a.open, a.contains(document.activeElement)];""",
        [False, True, True],
    ),
    "states are told apart without colour": (
        """const { STATE_NAMES, state } = await import("/static/format.js");
        return ["word", "shape", "path"].map((part) =>
            new Set(STATE_NAMES.map((name) => state(name)[part])).size === STATE_NAMES.length);""",
        [True] * 3,
    ),
    "nor does it stop the small charts": (
        """const minute = new Minute(), canvas = document.createElement("canvas");
        minute.take(part([1000, 9e9]), true);
        drawMinute(canvas, { width: 200, height: 20 }, minute, 1000, null);
        minute.take(part([2000]), false);
        return minute.t;""",
        [1000, 2000],
    ),
}


@pytest.mark.parametrize("case", _CASES)
async def test_samples_of_all_kinds(browser: Browser, console: Console, case: str) -> None:
    script, expected = _CASES[case]
    async with window(browser, console.url) as opened:
        page = await opened.open("/")
        assert await page.evaluate(f"async () => {{ {_TOOLS} {script} }}") == expected
