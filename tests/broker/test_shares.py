"""What goes where a store is too large, and what an agent finds that comes back."""

import asyncio
import logging
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chain import Forgetful
from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.pruned import Bench
from support.store import expected, header, lines_in, sample, select, send

from broker.model import Code
from broker.recorder.sqlite.keeping import Keeping

many = settings(derandomize=True, deadline=None, max_examples=20)

MAX_BYTES = 1 << 20
DAY_S = 86_400.0

# What an empty store takes, and a step of samples.
_SLACK = 60 * 4096


def fill(
    bench: Bench, agents: int, count: int, first: int = 1000, *, are_rehearsals: bool = False
) -> range:
    """So many agents come, one after the other, and send so many samples each."""
    lines = range(first, first + agents)
    for line in lines:
        bench.line(line, f"agent-{line}", is_rehearsal=are_rehearsals)
        bench.stream(line, live=True)
        bench.samples(line, count)
        bench.stream(line, live=False)
    return lines


def test_agents_that_never_come_back_fill_no_store(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Bench(tmp_path, replay=1000, max_bytes=MAX_BYTES) as bench:
        lines = fill(bench, 60, 1000)
        bench.clock.advance(2 * DAY_S)
        assert not bench.is_within(MAX_BYTES)
        assert bench.prune(0.1) <= 500
        assert bench.is_within(MAX_BYTES)
        kept = [len(bench.kept(line)) for line in lines]
        assert kept == sorted(kept)  # the longest silent first
        assert kept[-8:] == [1000] * 8
    (record,) = (each for each in caplog.records if each.levelno >= logging.WARNING)
    for what in ("recorder.max_bytes (1048576)", "broker forget", "limits.new_lines_per_minute"):
        assert what in record.getMessage()


def test_an_episode_is_told_once_and_its_end_as_well(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with Bench(tmp_path, replay=1000, max_bytes=MAX_BYTES) as bench:
        fill(bench, 20, 1000)
        bench.clock.advance(2 * DAY_S)
        bench.prune(0.1)
        fill(bench, 3, 1000, first=2000)
        bench.prune(0.1)
        assert [each.levelname for each in caplog.records] == ["WARNING"]
        bench.prune(0.2)
        assert [each.levelname for each in caplog.records] == ["WARNING", "INFO"]
        fill(bench, 3, 1000, first=3000)
        bench.prune(0.1)
        assert [each.levelname for each in caplog.records] == ["WARNING", "INFO", "WARNING"]


@pytest.mark.parametrize("restarted", [False, True])
def test_rehearsals_go_before_anything_of_an_agent_does(tmp_path: Path, *, restarted: bool) -> None:
    with Bench(tmp_path, replay=1000, max_bytes=MAX_BYTES) as bench:
        agents = fill(bench, 6, 1000)
        rehearsals = fill(bench, 20, 1000, first=2000, are_rehearsals=True)
        if restarted:
            bench.restart()
        bench.prune(0.1)
        assert bench.is_within(MAX_BYTES)
        assert [len(bench.kept(line)) for line in agents] == [1000] * 6
        kept = [len(bench.kept(line)) for line in rehearsals]
        assert kept == sorted(kept)  # the longest silent first
        assert kept[0] == 0
        assert kept[-1] == 1000


def test_a_rehearsal_that_streams_stays(tmp_path: Path) -> None:
    with Bench(tmp_path, rehearsals=3) as bench:
        bench.line(1, "live", is_rehearsal=True)
        bench.stream(1, live=True)
        bench.samples(1, 10)
        rehearsals = fill(bench, 10, 10, are_rehearsals=True)
        agents = fill(bench, 10, 10, first=2000)
        bench.prune(0.1)
        assert len(bench.kept(1)) == 10
        assert [len(bench.kept(line)) for line in rehearsals] == [0] * 7 + [10] * 3
        assert [len(bench.kept(line)) for line in agents] == [10] * 10


@pytest.mark.parametrize("samples", [1, 3])
def test_a_real_agent_keeps_its_samples_whoever_is_invented(samples: int, tmp_path: Path) -> None:
    """As young as they are, and in need of nothing but its snapshot."""
    with Bench(tmp_path, replay=10_000, max_bytes=MAX_BYTES) as bench:
        bench.line(1, "real")
        bench.stream(1, live=True)
        bench.samples(1, 2000)
        bench.snapshot(1)
        bench.samples(1, 190)
        for first in range(10, 6010, 1000):
            fill(bench, 1000, samples, first)
            bench.prune(0.1)
        assert bench.is_within(MAX_BYTES)
        assert len(bench.kept(1)) == 2190


@many
@given(
    st.floats(0.1, 7),
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 400), st.booleans()), max_size=4),
    st.booleans(),
)
def test_an_agent_that_is_away_is_not_displaced_by_those_of_today(
    days: float, crowds: list[tuple[int, int, bool]], snapshot: bool
) -> None:
    """Whether or not these go on streaming, so long as a black box of theirs needs little."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Bench(Path(folder), replay=10, max_bytes=MAX_BYTES) as bench,
    ):
        bench.line(1, "old")
        bench.stream(1, live=True)
        bench.samples(1, 1)
        bench.clock.advance(DAY_S)
        bench.samples(1, 6999)
        if snapshot:
            bench.snapshot(1)
        bench.stream(1, live=False)
        bench.clock.advance(days * DAY_S)
        for number, (agents, count, live) in enumerate(crowds, 1):
            lines = fill(bench, agents, count, 1000 * number)
            if live:
                bench.stream(lines[-1], live=True)
            bench.prune(0.05)
        assert bench.is_within(MAX_BYTES)
        assert len(bench.kept(1)) == 7000


@pytest.mark.parametrize("told", [False, True])
def test_a_line_with_a_stream_goes_last_and_goes(told: bool, tmp_path: Path) -> None:
    """Although its samples are the oldest ones; with its state go all samples behind it."""
    with Bench(tmp_path, replay=20_000, max_bytes=MAX_BYTES) as bench:
        bench.line(1, "old")
        bench.stream(1, live=True)
        if told:
            bench.samples(1, 1)
            bench.snapshot(1)
        bench.samples(1, 7000)
        fill(bench, 10, 1000)
        bench.clock.advance(2 * DAY_S)
        bench.prune(0.1)
        assert bench.is_within(MAX_BYTES)
        assert len(bench.kept(1)) == 7000
        assert bool(bench.snapshots(1)) is told
        bench.samples(1, 15_000)
        bench.prune(0.1)
        assert bench.is_within(MAX_BYTES)
        assert not any(bench.kept(line) for line in range(1000, 1010))
        assert 8000 < len(bench.kept(1)) < 20_000
        assert bench.snapshots(1) == []


def test_a_line_that_is_cut_in_part_keeps_no_state_from_before(tmp_path: Path) -> None:
    with Bench(tmp_path, replay=1000, max_bytes=MAX_BYTES) as bench:
        bench.line(1, "a")
        bench.samples(1, 5)
        bench.snapshot(1)
        bench.samples(1, 20_000)
        bench.clock.advance(2 * DAY_S)
        bench.prune(0.1)
        assert 8000 < len(bench.kept(1)) < 20_000
        assert bench.snapshots(1) == []


def test_an_agent_that_comes_back_meanwhile_keeps_the_rest(tmp_path: Path) -> None:
    with Bench(tmp_path, replay=10_000, max_bytes=MAX_BYTES) as bench:
        lines = fill(bench, 4, 6000)
        bench.clock.advance(2 * DAY_S)
        while len(bench.kept(lines[0])) == 6000:
            bench.clock.advance(1.0)
            bench.retention.step(500)
        bench.stream(lines[0], live=True)
        bench.prune(0.1)
        assert bench.is_within(MAX_BYTES)
        assert len(bench.kept(lines[0])) == 5500
        assert bench.kept(lines[1]) == []


def test_a_flood_under_a_new_name_leaves_an_old_agent_what_it_has(tmp_path: Path) -> None:
    with Bench(tmp_path, replay=10, max_bytes=MAX_BYTES) as bench:
        bench.line(1, "old")
        bench.samples(1, 7000)
        bench.clock.advance(2 * DAY_S)
        bench.line(2, "new")
        bench.stream(2, live=True)
        for _ in range(10):
            bench.samples(2, 3000)
            bench.prune(0.02)
            assert bench.is_within(MAX_BYTES)
        assert len(bench.kept(1)) == 7000


arrivals = st.lists(
    st.tuples(
        st.integers(1, 12),  # line
        st.integers(1, 1500),
        st.booleans(),  # whether it stays
        st.booleans(),  # whether its black box tells its state
        st.sampled_from([0.0, 60.0, 3600.0, DAY_S]),
    ),
    max_size=25,
)


@many
@given(arrivals, st.integers(0, 2000))
def test_whoever_comes_the_store_fits_and_lines_with_a_stream_go_last(
    script: list[tuple[int, int, bool, bool, float]], replay: int
) -> None:
    max_bytes = MAX_BYTES // 2
    with (
        tempfile.TemporaryDirectory() as folder,
        Bench(Path(folder), replay=replay, max_bytes=max_bytes) as bench,
    ):
        known: set[int] = set()
        for line, count, stays, snapshot, pause_s in script:
            if line not in known:
                bench.line(line, None if line == 12 else f"agent-{line}")
                known.add(line)
            bench.stream(line, live=True)
            bench.samples(line, count)
            if snapshot and line != 12:
                bench.snapshot(line)
            bench.stream(line, live=stays)
            needed = {each: bench.needed(each) for each in bench.live - {12}}
            bench.clock.advance(pause_s)
            bench.prune(0.05)
            assert bench.is_within(max_bytes + _SLACK // 3)
            silent = known - bench.live
            if any(bench.kept(each) for each in silent):
                for each, positions in needed.items():
                    assert set(positions) <= set(bench.kept(each))
            for each in known:
                kept, states = bench.kept(each), bench.snapshots(each)
                if states and kept:  # no state without the samples behind it
                    assert all(at not in bench.gone for at in range(max(states) + 1, kept[0]))


def test_what_a_store_held_at_the_start_counts_as_well(tmp_path: Path) -> None:
    """A broker that is started again knows who is young, and what they hold."""
    with Bench(tmp_path, replay=10_000, max_bytes=MAX_BYTES) as bench:
        bench.line(1, "old")
        bench.clock.advance(2 * DAY_S)
        bench.samples(1, 7000)
        fill(bench, 30, 300)
        bench.restart()
        bench.prune(0.1)
        assert bench.is_within(MAX_BYTES)
        assert len(bench.kept(1)) == 7000


def test_of_lines_without_samples_only_the_latest_stay(tmp_path: Path) -> None:
    with Bench(tmp_path, replay=1000, max_bytes=MAX_BYTES // 2, empty_lines=50) as bench:
        lines = fill(bench, 400, 30)
        bench.prune(0.1)
        empty = [line for line in lines if not bench.kept(line)]
        for table in ("lines", "sessions"):
            left = {row[0] for row in bench.connection.execute(f"SELECT line FROM {table}")}  # noqa: S608
            assert len(left & set(empty)) == 50
            assert left & set(empty) == set(sorted(empty)[-50:])


# An agent that comes back


async def test_an_agent_whose_history_was_deleted_is_told_and_goes_on_behind_its_last_id(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, clock = tmp_path / "broker.db", ManualClock()
    keeping = Keeping(replay=2000, max_bytes=MAX_BYTES // 2)
    with lines_in(path, Forgetful, keeping=keeping, clock=clock, tick_s=0.01) as lines:
        await send(lines, range(1500))
        clock.advance(60.0)
        for agent in range(6):
            await send(lines, range(1500), agent=f"agent-{agent}")
        async with asyncio.timeout(PATIENCE_S):
            while select(path, "SELECT 1 FROM samples WHERE line = 1"):
                clock.advance(1.0)
                await asyncio.sleep(0.01)
        _, refusal = await send(lines, [1499])
        assert refusal
        assert refusal.code is Code.OUT_OF_RANGE
        ids = range(1500, 1520)
        assert (await send(lines, ids))[0] == expected(box := Forgetful(), ids)
    assert "a: its records were deleted to keep the store within recorder.max_bytes" in caplog.text
    caplog.clear()
    with lines_in(path, Forgetful) as lines:
        ids = range(1520, 1540)
        assert (await send(lines, ids))[0] == expected(box, ids)
    assert "starts again with the remaining 20 samples" in caplog.text


async def test_an_agent_whose_line_was_deleted_joins_as_a_new_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path, clock = tmp_path / "broker.db", ManualClock()
    keeping = Keeping(replay=2000, max_bytes=200_000)
    with lines_in(path, Forgetful, keeping=keeping, clock=clock, tick_s=0.01) as lines:
        await send(lines, range(900))
        with await lines.open(header(agent="b")) as live:
            await live.answer([sample(id_) for id_ in range(4000)])
            async with asyncio.timeout(PATIENCE_S):
                while select(path, "SELECT agent_id FROM lines") != [("b",)]:
                    clock.advance(1.0)
                    await asyncio.sleep(0.01)
        ids = range(900, 920)
        assert (await send(lines, ids))[0] == expected(Forgetful(), ids)
    assert "starts at sample 900" in caplog.text


def test_a_census_counts_the_same_before_and_after_a_restart(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        fill(bench, 5, 6000)
        before = {each.line: each.samples for each in bench.census.young()}
        bench.restart()
        while bench.census.load():
            pass
        assert {each.line: each.samples for each in bench.census.young()} == before
