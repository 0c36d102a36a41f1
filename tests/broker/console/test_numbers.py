"""The numbers behind answers, replayed by a process of its own from a real store."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.store import change, header, lines_in, send_on
from support.stores import lines_of

from broker.config import PredictorSettings, Store
from broker.console.present import Numbers
from broker.console.present.replay import Question, numbers
from broker.model import Sample
from broker.predictors.load import load
from broker.recorder.opening import open_reader
from broker.recorder.reader import Span
from quartet.channels import as_float32

S_NS = 10**9
PERIOD_NS = S_NS // 10
START_NS = 1_750_000_000 * S_NS
CHART = load("chart", {})
NAN = float("nan")


def row(id_: int) -> Sample:
    """A quiet machine with a fault in between."""
    wave = (id_ * 37 % 101) / 101
    other = (id_ * 53 % 97) / 97
    third = (id_ * 29 % 89) / 89
    fourth = (id_ * 71 % 83) / 83
    fault = 9.0 if 1500 <= id_ < 1520 else 0.0
    return Sample(id_, as_float32((wave + fault, other, NAN if id_ % 400 == 7 else third, fourth)))


async def streamed(
    store: Store, count: int, first: int = 0, digest: str = CHART.digest, make: Any = CHART.make
) -> None:
    """So many samples of agent a, 10 a second, in batches that each arrive when they are taken."""
    clock = ManualClock(wall_s=START_NS / S_NS + first / 10)
    async with lines_of(store, make, digest=digest, clock=clock) as lines:
        opened = header(first, at_ns=START_NS + first * PERIOD_NS, period_ns=PERIOD_NS)
        with await lines.open(opened) as stream:
            for begin in range(first, first + count, 100):
                await send_on(stream, [row(id_) for id_ in range(begin, begin + 100)])
                clock.advance(10.0)


def straight(count: int, rebased_at: int = 0) -> dict[int, Mapping[str, tuple[float, float]]]:
    """By id what a predictor tells that is fed without a break."""
    predictor = CHART.make()
    told = {}
    for id_ in range(count):
        if id_ == rebased_at:
            predictor = CHART.make()
        predictor.predict(row(id_))
        predictor.explain()  # type: ignore[attr-defined]
        told[id_] = dict(predictor.statistics())  # type: ignore[attr-defined]
    return told


def span(first: int, end: int) -> Span:
    return Span(START_NS + first * PERIOD_NS, START_NS + end * PERIOD_NS)


def digits(value: float) -> float:
    return float(f"{value:.5g}")


async def asked(
    store: Store, first: int, end: int, most: int = 4000, use: str = "chart", **options: object
) -> dict[str, Any]:
    numbers = Numbers(store, PredictorSettings(use=use, options=options))
    try:
        return await numbers.of("a", span(first, end), most)
    finally:
        await numbers.close()


def agrees(told: dict[str, Any], wanted: Any, first: int, end: int) -> None:
    """Each sample's numbers are those that were wanted."""
    assert [each["name"] for each in told["charts"]] == [*wanted[first]]
    for chart in told["charts"]:
        ids = [round((t * 1e6 - START_NS) / PERIOD_NS) for t in chart["t"]]
        assert ids == list(range(first, end))
        name = chart["name"]
        assert chart["value"] == [digits(wanted[id_][name][0]) for id_ in ids]
        assert chart["limit"] == [digits(wanted[id_][name][1]) for id_ in ids]


@pytest.fixture(params=["file", "database"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "file":
        yield tmp_path / "broker.db"
        return
    database = await request.getfixturevalue("postgres").create()
    yield database.url
    await database.drop()


@pytest.mark.parametrize(("first", "end"), [(1400, 1600), (2500, 2700), (350, 360)])
async def test_replayed_numbers_are_those_of_a_predictor_that_was_fed_straight(
    store: Store, first: int, end: int
) -> None:
    await streamed(store, 3000)
    told = await asked(store, first, end)
    assert told["remark"] == ""
    agrees(told, straight(3000), first, end)


async def test_a_point_is_the_highest_of_its_samples(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    await streamed(path, 2000)
    told = await asked(path, 1000, 2000, most=10)
    wanted = straight(2000)
    t2 = told["charts"][0]
    assert len(t2["t"]) == 10
    for number, (t_ms, value) in enumerate(zip(t2["t"], t2["value"], strict=True)):
        ids = range(1000 + 100 * number, 1100 + 100 * number)
        peak = max(ids, key=lambda id_: wanted[id_]["T2"][0])
        assert value == digits(wanted[peak]["T2"][0])
        assert round((t_ms * 1e6 - START_NS) / PERIOD_NS) == peak


async def test_numbers_begin_where_a_state_or_the_first_sample_is_on_record(
    tmp_path: Path,
) -> None:
    path = tmp_path / "broker.db"
    await streamed(path, 3000)
    told = await asked(path, -500, 600)  # a predictor learns from its first 300 rows
    assert told["remark"] == ""
    wanted = straight(600)
    first = next(id_ for id_, numbers in wanted.items() if numbers)
    agrees(told, wanted, first, 600)
    change(path, "DELETE FROM samples WHERE id < 500")  # as retention does
    told = await asked(path, 400, 2950)
    assert told["remark"].startswith("not replayable before 2025-06-1")
    ids = [round((t * 1e6 - START_NS) / PERIOD_NS) for t in told["charts"][0]["t"]]
    assert ids[-1] == 2949
    agrees(told, straight(3000), ids[0], 2950)
    told = await asked(path, 500, 600)
    assert told["charts"] == []
    assert told["remark"].startswith("not replayable before 2025-06-1")


async def test_a_reset_by_a_person_is_replayed_as_it_was_applied(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    clock = ManualClock(wall_s=START_NS / S_NS)
    opened = header(0, at_ns=START_NS, period_ns=PERIOD_NS)
    with lines_in(path, CHART.make, digest=CHART.digest, clock=clock) as lines:
        stream = await lines.open(opened)
        with stream:
            await send_on(stream, [row(id_) for id_ in range(500)])
            change(path, "INSERT INTO commands (agent_id, name, at_ns) VALUES ('a', 'rebase', 0)")
            clock.advance(50.0)
            claim = await lines.recorder.claim(header(), "")
            while not lines.recorder.pending_rebase(claim):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
            await send_on(stream, [row(id_) for id_ in range(500, 1500)])
    wanted = straight(1500, rebased_at=500)
    told = await asked(path, 450, 1200)
    shown = [id_ for id_ in range(450, 1200) if wanted[id_]]
    assert shown[49] == 499
    assert shown[50] > 790
    for chart in told["charts"]:
        ids = [round((t * 1e6 - START_NS) / PERIOD_NS) for t in chart["t"]]
        assert ids == shown
        assert chart["value"] == [digits(wanted[id_][chart["name"]][0]) for id_ in ids]
    assert told["remark"] == ""


@pytest.mark.parametrize("asked_for", [(1100, 1400), (900, 1400)])
async def test_a_clock_that_was_ahead_for_long_ends_no_replay(
    store: Store, asked_for: tuple[int, int]
) -> None:
    await streamed(store, 1000)
    clock = ManualClock(wall_s=START_NS / S_NS + 100)
    async with lines_of(store, CHART.make, digest=CHART.digest, clock=clock) as lines:
        for first, end, ahead_s in [(1000, 1600, 86_400), (1600, 2200, 0)]:
            # Behind the 600 samples of the wrong clock, the others have the times of 1000 to 1600.
            at_ns = START_NS + (first if ahead_s else 1000) * PERIOD_NS + ahead_s * S_NS
            with await lines.open(header(first, at_ns=at_ns, period_ns=PERIOD_NS)) as stream:
                await send_on(stream, [row(id_) for id_ in range(first, end)])
                clock.advance(60.0)
    first, end = asked_for
    told = await asked(store, first, end)
    assert told["remark"] == ""
    wanted = straight(2200)
    shown = [*range(first, 1000), *range(max(first, 1000) + 600, end + 600)]
    for chart in told["charts"]:
        name = chart["name"]
        assert chart["value"] == [digits(wanted[id_][name][0]) for id_ in shown]
    assert told["charts"]


async def test_a_replay_that_is_given_up_behind_its_first_samples_says_how_far_it_came(
    store: Store,
) -> None:
    await streamed(store, 1000)
    clock = ManualClock(wall_s=START_NS / S_NS + 100)
    async with lines_of(store, CHART.make, digest=CHART.digest, clock=clock) as lines:
        ahead = header(1000, at_ns=START_NS + 1000 * PERIOD_NS + 86_400 * S_NS, period_ns=PERIOD_NS)
        with await lines.open(ahead) as stream:
            await send_on(stream, [row(id_) for id_ in range(1000, 1600)])
        clock.advance(60.0)
        again = header(1600, at_ns=START_NS + 1100 * PERIOD_NS, period_ns=PERIOD_NS)
        with await lines.open(again) as stream:
            await send_on(stream, [row(id_) for id_ in range(1600, 1700)])
    question = Question("a", span(900, 1200), 4000)
    told = await numbers(open_reader(store), CHART, question, most_before=550)
    assert told["remark"].startswith("only up to ")
    assert [len(each["value"]) for each in told["charts"]] == [100] * len(told["charts"])
    assert told["charts"]


async def test_answers_of_another_model_are_said_and_not_explained(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    await streamed(path, 1200, digest="another")
    told = await asked(path, 1100, 1150)
    assert told == {"charts": [], "remark": "these answers were made by another model"}


async def test_a_predictor_that_is_back_is_replayed_from_its_next_snapshot_on(
    tmp_path: Path,
) -> None:
    path = tmp_path / "broker.db"
    await streamed(path, 1500)
    await streamed(path, 500, first=1500, digest="another")
    await streamed(path, 1500, first=2000)
    told = await asked(path, 1600, 3400)
    lacks = "the state of the predictor is not on record for all of it"
    assert told["remark"] == f"{lacks}; these answers were made by another model"
    ids = [round((t * 1e6 - START_NS) / PERIOD_NS) for t in told["charts"][0]["t"]]
    assert ids[0] == 3001
    agrees(told, straight(3500), ids[0], 3400)


@pytest.mark.parametrize(
    ("use", "remark"),
    [
        ("limits", "the predictor tells no numbers"),
        ("nothing_here:Chart", "cannot be imported"),
        ("boxes:Raises", "the predictor raised ValueError: not today"),
        ("boxes:Loops", "cannot be replayed: it takes longer than 3 s"),
        ("boxes:Dies", "cannot be replayed: its process ended"),
    ],
)
async def test_a_predictor_that_cannot_tell_leaves_a_remark(
    workplace: Path, use: str, remark: str
) -> None:
    path = workplace / "broker.db"
    (workplace / "boxes.py").write_text(BOXES)
    digest = load(use, {}).digest if use == "boxes:Raises" else "d1"
    await streamed(path, 500, digest=digest)
    numbers = Numbers(path, PredictorSettings(use=use), most_s=3.0 if "Loops" in use else 60.0)
    try:
        told = await numbers.of("a", span(100, 200), 100)
        assert told["charts"] == []
        assert remark in told["remark"]
        assert remark in (await numbers.of("a", span(100, 200), 100))["remark"]
    finally:
        await numbers.close()


BOXES = """
import os, time

class Raises:
    def predict(self, sample):
        if sample.id > 150:
            raise ValueError("not today")
        print("what a predictor prints is no answer")
        return False

    def statistics(self):
        return {}

class Loops(Raises):
    def predict(self, sample):
        while True:
            pass

class Dies(Raises):
    def predict(self, sample):
        os._exit(3)
"""


async def test_a_replay_ends_with_the_console_also_where_the_predictor_loops(
    tmp_path: Path,
) -> None:
    (tmp_path / "endless.py").write_text(
        "class Loops:\n"
        "    def predict(self, sample):\n"
        "        print('looping', flush=True)\n"
        "        while True:\n"
        "            pass\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "broker.console.present.worker"),
        stdin=PIPE,
        stderr=PIPE,
        cwd=tmp_path,
    )
    assert process.stdin
    assert process.stderr
    try:
        question = {"store": "no.db", "use": "endless:Loops", "options": {}}
        process.stdin.write(json.dumps(question).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_S):
            assert await process.stderr.readline() == b"looping\n"
            process.stdin.close()  # as of a console that was killed
            assert await process.wait() == 0
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_infinities_and_failed_values_are_told_as_they_are(workplace: Path) -> None:
    (workplace / "odd.py").write_text(
        "class Odd:\n"
        "    def predict(self, sample):\n"
        "        self.id = sample.id\n"
        "        return False\n"
        "    def statistics(self):\n"
        "        value = float('nan') if self.id % 2 else float(self.id)\n"
        "        return {'id': (value, float('inf'))}\n"
    )
    path = workplace / "broker.db"
    await streamed(path, 500, digest=load("odd:Odd", {}).digest)
    told = await asked(path, 10, 14, use="odd:Odd")
    (chart,) = told["charts"]
    assert chart["value"] == [10.0, None, 12.0, None]
    assert chart["limit"] == [float("inf")] * 4


async def test_a_store_or_an_agent_that_is_not_there_is_a_remark(tmp_path: Path) -> None:
    told = await asked(tmp_path / "none.db", 0, 10)
    assert "none.db: there is no such file" in told["remark"]
    path = tmp_path / "broker.db"
    await streamed(path, 100)
    numbers = Numbers(path, PredictorSettings())
    told = await numbers.of("b", span(0, 10), 10)
    assert told == {"charts": [], "remark": "no sample of it is on record"}
    await numbers.close()


async def test_who_leaves_stops_the_replay_and_the_next_is_answered(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    await streamed(path, 1000)
    numbers = Numbers(path, PredictorSettings())
    leaving = asyncio.create_task(numbers.of("a", span(400, 500), 100))
    for _ in range(20):
        await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    both = await asyncio.gather(
        numbers.of("a", span(400, 410), 4000), numbers.of("a", span(600, 610), 4000)
    )
    wanted = straight(1000)
    agrees(both[0], wanted, 400, 410)
    agrees(both[1], wanted, 600, 610)
    process = numbers._process  # noqa: SLF001 - whether it ends is the question
    assert process
    await numbers.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
