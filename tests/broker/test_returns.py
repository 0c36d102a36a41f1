"""Snapshots of another predictor: kept, and restored when that predictor is back."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.chain import Chain, Forgetful
from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.pruned import Bench
from support.read import File, Place
from support.store import (
    change,
    expected,
    header,
    lines_in,
    sample,
    select,
    send,
    send_on,
)

from broker.model import Alarm, Sample
from broker.predictors import Predictor
from broker.recorder.reader import Span
from broker.recorder.sqlite.aside import MOST, Asides, StoredState
from broker.recorder.sqlite.bases import Bases
from broker.recorder.sqlite.history import History
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.schema import MIGRATIONS
from broker.recorder.sqlite.upkeep import SqliteUpkeep
from broker.records import Basis
from quartet.database import connect, transaction

NewPlace = Callable[[], Awaitable[Place]]

many = settings(derandomize=True, deadline=None, max_examples=30)

EVERY = 5
REPLAY = 30


@pytest.fixture
def on_disk(tmp_path: Path) -> File:
    """One whose file a test looks into."""
    return File(tmp_path)


async def run(
    place: Place,
    digest: str,
    ids: range,
    make: Callable[[], Predictor] = Chain,
    *,
    agent: str = "a",
) -> list[bool]:
    """A broker with this predictor answers these ids."""
    async with place.lines(make, digest=digest, replay=REPLAY, snapshot_every=EVERY) as lines:
        answers, refusal = await send(lines, ids, agent=agent)
    assert refusal is None
    return [each.prediction for each in answers]


def wanted(seen: range, ids: range) -> list[bool]:
    """What a predictor answers that has seen these samples without a break."""
    box = Chain()
    expected(box, seen)
    return [each.prediction for each in expected(box, ids)]


async def told(place: Place) -> list[str]:
    """What became of the predictor of agent a, start by start."""
    found = await place.reader.events("a", Span())
    return [each.text for each in found if each.kind in {"restored", "begun"}]


# Back again


@pytest.mark.parametrize("between", [Chain, Forgetful])
async def test_a_rollback_finds_its_own_snapshot_and_sees_what_came_meanwhile(
    between: Callable[[], Predictor], place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await run(place, "old", range(100))
    assert await run(place, "new", range(100, 200), between) == wanted(
        range(70, 100), range(100, 200)
    )
    assert await run(place, "old", range(200, 240)) == wanted(range(200), range(200, 240))
    replayed = "a: the former predictor is back: its snapshot is restored, 100 samples replayed"
    assert replayed in caplog.messages
    assert (await told(place))[-1] == "the former predictor is back; 100 samples replayed"


async def test_a_broker_that_dies_before_the_next_snapshot_finds_it_once_more(place: Place) -> None:
    await run(place, "old", range(100))
    await run(place, "new", range(100, 103))
    for first in (103, 104):
        ids = range(first, first + 1)
        async with place.lines(Chain, digest="old", snapshot_every=1000) as lines:
            answers, _ = await send(lines, ids)
            place = await place.as_killed()
        assert [each.prediction for each in answers] == wanted(range(first), ids)


@many
@example([(digest, 9) for digest in "abcdca"])  # the one that is back takes nobody's place
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(EVERY, 40)), max_size=9))
async def test_each_of_the_latest_predictors_goes_on_as_if_it_had_never_left(
    new_place: NewPlace, script: list[tuple[str, int]]
) -> None:
    place = await new_place()
    boxes: dict[str, Chain] = {}
    first, present = 0, ""
    for digest, count in script:
        if digest != present:
            others = [each for each in boxes if each != digest]
            for forgotten in others[:-MOST]:
                del boxes[forgotten]
            if digest not in boxes:
                boxes[digest] = Chain()
                expected(boxes[digest], range(max(0, first - REPLAY), first))
            boxes[digest] = boxes.pop(digest)  # the latest
            present = digest
        ids = range(first, first + count)
        answers = await run(place, digest, ids)
        for box in boxes.values():
            predictions = [each.prediction for each in expected(box, ids)]
            assert box is not boxes[digest] or predictions == answers
        first += count


class Loud(Chain):
    """Is in alarm from its first answer on, and says so."""

    def predict(self, sample: Sample) -> bool:
        super().predict(sample)
        return True

    def explain(self) -> str:
        return f"{type(self).__name__} says so"


class Other(Loud):
    """Another one."""


async def test_an_alarm_is_of_the_predictor_that_raised_it(place: Place) -> None:
    alarms = []
    for number, make in enumerate((Loud, Other, Loud, Loud)):
        keeping = {"digest": make.__name__, "snapshot_every": 10 if number == 2 else 3}
        async with place.lines(make, **keeping) as lines:
            first = 4 * number
            with await lines.open(header(first, at_ns=first)) as stream:
                await send_on(stream, [sample(id_) for id_ in range(first, first + 4)])
        (state,) = await place.reader.lines()
        alarms.append(state.standing.alarm)
    assert alarms == [
        Alarm(0, "Loud says so"),
        Alarm(4, "Other says so"),
        Alarm(8, "Loud says so"),
        Alarm(8, "Loud says so"),
    ]


async def test_after_a_reset_no_former_predictor_is_back(place: Place) -> None:
    await run(place, "old", range(100))
    await run(place, "new", range(100, 110))
    await place.reader.command_rebase("a")
    await run(place, "new", range(110, 120))
    assert await place.select("SELECT count(*) FROM asides") == [(0,)]
    assert await run(place, "old", range(120, 150)) == wanted(range(110, 120), range(120, 150))


async def test_a_state_is_dropped_once_its_predictor_has_told_a_newer_one(place: Place) -> None:
    await run(place, "old", range(100))
    await run(place, "new", range(100, 110))
    assert await place.select("SELECT digest, position FROM asides") == [("old", 100)]
    await run(place, "old", range(110, 120))
    assert await place.select("SELECT digest, position FROM asides") == [("new", 106)]


async def test_an_agent_that_is_forgotten_leaves_no_former_predictor(place: Place) -> None:
    for agent in "ab":
        await run(place, "old", range(100), agent=agent)
        await run(place, "new", range(100, 110), agent=agent)
    assert await place.reader.command_forget("b") == 110
    assert await place.select("SELECT agent_id FROM asides JOIN lines USING (line)") == [("a",)]
    assert await place.select("SELECT count(*) FROM asides") == [(1,)]


# What is not there any more


async def test_samples_that_were_deleted_meanwhile_are_counted(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    await run(place, "old", range(100))
    await run(place, "new", range(100, 200))
    await place.behead(160)
    box = Chain()
    expected(box, range(100))
    expected(box, range(160, 200))
    ids = range(200, 220)
    assert await run(place, "old", ids) == [each.prediction for each in expected(box, ids)]
    assert caplog.messages[-1] == (
        "a: 60 samples since that snapshot cannot be replayed, deleted or too many: the predictor"
        " has not seen them, and its predictions may differ"
    )
    assert (await told(place))[-1].endswith("back; 40 samples replayed, 60 missing")


async def test_deleted_samples_are_counted_also_where_the_oldest_sessions_are_forgotten(
    on_disk: File,
) -> None:
    make = {"keeping": Keeping(replay=10, sessions=2), "snapshot_every": EVERY}
    with lines_in(on_disk.path, Chain, digest="old", **make) as lines:
        await send(lines, range(100))
    with lines_in(on_disk.path, Chain, digest="new", **make) as lines:
        for session in (1, 2, 3):
            await send(lines, range(20), session)
    change(on_disk.path, "DELETE FROM samples WHERE position <= 130")
    with lines_in(on_disk.path, Chain, digest="old", **make) as lines:
        await send(lines, range(20), 4)
    assert (await told(on_disk))[-1].endswith("back; 30 samples replayed, 30 missing")


def test_no_more_than_the_bound_is_replayed(tmp_path: Path) -> None:
    with Bench(tmp_path, replay=3) as bench:
        bench.line(1, "a")
        bench.samples(1, 100)
        bench.connection.execute("UPDATE sessions SET answered = 100")
        asides = Asides(bench.connection, "d")
        history = History(bench.connection, "d", asides)
        bases = Bases(bench.connection, "d", history, asides, replay=3, most_since=20)
        with transaction(bench.connection):
            asides.keep(1, StoredState(50, b"d", b"state"), 50)
        found = bases.basis(1, "a", 100)
        assert found == Basis(80, b"state", is_back=True, missing=30)
        with transaction(bench.connection):
            asides.keep(1, StoredState(80, b"d", b"later"), 80)
        assert bases.basis(1, "a", 100) == Basis(80, b"later", is_back=True, missing=0)


async def test_a_state_goes_with_the_age_of_samples_and_keeps_none_of_them(on_disk: File) -> None:
    clock = ManualClock()
    keeping = Keeping(replay=10, max_age_days=1.0)
    make = {"keeping": keeping, "clock": clock, "snapshot_every": EVERY}
    with lines_in(on_disk.path, Chain, digest="old", **make) as lines:
        await send(lines, range(40))
    clock.advance(20 * 3600.0)
    with lines_in(on_disk.path, Chain, digest="new", **make) as lines:
        await send(lines, range(40, 100))
        asides = "SELECT (SELECT count(*) FROM asides), (SELECT min(id) FROM samples)"
        assert select(on_disk.path, asides) == [(1, 0)]
        clock.advance(601.0)
        await lines.recorder.basis("none", with_snapshot=True)
        clock.advance(5 * 3600.0)
        async with asyncio.timeout(PATIENCE_S):
            while select(on_disk.path, asides) != [(0, 40)]:
                clock.advance(601.0)
                await lines.recorder.basis("none", with_snapshot=True)


def test_a_state_is_as_old_as_the_samples_of_its_time_and_stays_while_it_is_in_use(
    tmp_path: Path,
) -> None:
    with Bench(tmp_path, replay=10, max_age_days=1.0) as bench:
        states = "SELECT line, digest FROM asides ORDER BY aside"
        asides = Asides(bench.connection, "d")
        for line, agent in ((1, "a"), (2, "b")):
            bench.line(line, agent)
            bench.samples(line, 20)
            with transaction(bench.connection):
                for position, digest in ((5, b"other"), (20 * line, b"d")):
                    asides.keep(line, StoredState(position, digest, b""), 0)
        bench.prune(hours=20.0)
        bench.samples(2, 15)
        bench.snapshot(2)
        assert len(bench.connection.execute(states).fetchall()) == 4
        bench.prune(hours=8.0)
        assert bench.connection.execute(states).fetchall() == [(1, "d")]
        assert bench.positions() == {*range(41, 56)}


def test_only_the_present_predictor_decides_which_samples_stay(tmp_path: Path) -> None:
    with Bench(tmp_path, replay=10) as bench:
        bench.line(1, "a")
        bench.samples(1, 100)
        asides = Asides(bench.connection, "other")
        with transaction(bench.connection):
            asides.keep(1, StoredState(5, b"former", b""), 5)
        assert bench.tables.needed_from(1) == 90
        bench.snapshot(1)
        assert bench.tables.needed_from(1) == 100
        bench.connection.execute("DELETE FROM snapshots")
        with transaction(bench.connection):
            asides.keep(1, StoredState(70, b"d", b""), 70)
        assert bench.tables.needed_from(1) == 70


# In the store


@pytest.mark.parametrize(
    "damage",
    [
        "state = x'00'",
        "digest = 'new'",
        "position = position + 1",
        "answered = answered + 1",
        "line = line + 1",
    ],
)
async def test_a_damaged_state_is_found_not_restored_and_mended(damage: str, on_disk: File) -> None:
    await run(on_disk, "old", range(100))
    await run(on_disk, "new", range(100, 110))
    change(on_disk.path, f"UPDATE asides SET {damage}")  # noqa: S608
    (problem,) = SqliteUpkeep(on_disk.path).check().problems
    assert problem.what.startswith("the snapshot of a former predictor of line ")
    SqliteUpkeep(on_disk.path).repair()
    assert SqliteUpkeep(on_disk.path).check().problems == []
    assert select(on_disk.path, "SELECT count(*) FROM asides") == [(0,)]
    assert await run(on_disk, "old", range(110, 120)) == wanted(range(80, 110), range(110, 120))


async def test_a_repair_keeps_states_and_a_forgotten_agent_has_none(on_disk: File) -> None:
    for agent in "ab":
        await run(on_disk, "old", range(100), agent=agent)
        await run(on_disk, "new", range(100, 110), agent=agent)
    change(
        on_disk.path,
        "INSERT INTO asides SELECT NULL, 99, position, digest, state, 0, 0 FROM asides",
    )
    SqliteUpkeep(on_disk.path).repair()
    assert SqliteUpkeep(on_disk.path).check().problems == []
    assert select(on_disk.path, "SELECT line, digest FROM asides") == [(1, "old"), (2, "old")]
    assert await run(on_disk, "old", range(110, 120)) == wanted(range(110), range(110, 120))
    assert await on_disk.reader.command_forget("b") == 110
    assert select(on_disk.path, "SELECT DISTINCT line FROM asides") == [(1,)]


DAMAGED = (
    "a: its predictor is back, and its snapshot is damaged: it starts again with its latest"
    " samples, and later predictions may differ until its next learning phase"
)


@pytest.mark.parametrize("answered", [range(0), range(110, 112)])
async def test_a_state_that_is_damaged_is_not_restored_and_told(
    answered: range, on_disk: File, caplog: pytest.LogCaptureFixture
) -> None:
    await run(on_disk, "old", range(100))
    await run(on_disk, "new", range(100, 110))
    if answered:  # it is back, and has not told another state yet
        with lines_in(on_disk.path, Chain, digest="old", snapshot_every=1000) as lines:
            await send(lines, answered)
    change(on_disk.path, "UPDATE asides SET state = x'00'")
    assert DAMAGED not in caplog.messages
    first = 110 + len(answered)
    ids = range(first, first + 10)
    assert await run(on_disk, "old", ids) == wanted(range(first - REPLAY, first), ids)
    assert DAMAGED in caplog.messages


async def test_a_store_of_schema_6_goes_on(on_disk: File) -> None:
    with closing(connect(on_disk.path, MIGRATIONS[:6], "normal")) as connection:
        connection.executescript("""
            INSERT INTO lines VALUES (1, 'a', '1.2.3.4:5', NULL);
            INSERT INTO standings (line, learned, to_learn) VALUES (1, 2, 3)
        """)
    assert SqliteUpkeep(on_disk.path).check().problems == []
    with lines_in(on_disk.path, Chain):
        (state,) = await on_disk.reader.lines()
    assert state.standing.learning
    assert state.standing.shift is None
