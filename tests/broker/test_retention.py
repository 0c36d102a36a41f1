"""What the store deletes, and what it must not."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chain import Chain
from support.clock import ManualClock
from support.pruned import Bench
from support.store import lines_in, sample, select, send

from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.plain import PlainLines
from broker.recorder.trust import ClockTrust

many = settings(derandomize=True, deadline=None, max_examples=60)

DAY_S = 86_400.0


additions = st.lists(
    st.tuples(st.integers(1, 3), st.integers(1, 30), st.booleans(), st.floats(0, 3)), max_size=15
)


@many
@given(additions, st.integers(0, 20), st.floats(0.5, 5), st.integers(1, 50))
def test_what_is_too_old_goes_and_what_rebuilds_a_black_box_stays(
    script: list[tuple[int, int, bool, float]], replay: int, max_age_days: float, most: int
) -> None:
    """Line 3 is a plain peer's."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Bench(Path(folder), replay=replay, max_age_days=max_age_days) as bench,
    ):
        for line, agent_id in ((1, "a"), (2, "b"), (3, None)):
            bench.line(line, agent_id)
        arrived_s: dict[int, float] = {}
        snapshots: dict[int, int] = {}
        for line, count, snapshot, days in script:
            first = len(arrived_s) + 1
            arrived_s |= dict.fromkeys(range(first, first + count), bench.clock.now_s)
            bench.samples(line, count)
            if snapshot and line != 3:
                bench.snapshot(line)
                snapshots[line] = len(arrived_s)
            bench.clock.now_s += days * DAY_S
        before = {line: bench.kept(line) for line in (1, 2, 3)}
        assert bench.prune(2, most) <= most
        young_s = bench.clock.now_s - max_age_days * DAY_S
        for line, positions in before.items():
            if line in snapshots:
                needed = [at for at in positions if at > snapshots[line]]
            else:
                needed = positions[len(positions) - replay if replay < len(positions) else 0 :]
                needed = [] if line == 3 else needed
            kept = bench.kept(line)
            young = [at for at in positions if arrived_s[at] >= young_s]
            assert set(needed) | set(young) <= set(kept)
            # An age is looked at every ten minutes.
            assert all(at in needed or arrived_s[at] > young_s - 720 for at in kept)


@many
@given(st.integers(4, 40), st.integers(0, 400), st.booleans())
def test_a_store_that_is_too_large_loses_its_oldest_samples_and_no_more_than_it_must(
    pages: int, replay: int, live: bool
) -> None:
    """Also what its only line would be rebuilt from."""
    max_bytes = 4096 * (pages + 27)
    with (
        tempfile.TemporaryDirectory() as folder,
        Bench(Path(folder), replay=replay, max_bytes=max_bytes) as bench,
    ):
        bench.line(1, "a")
        bench.stream(1, live=live)
        bench.samples(1, 5000)
        before = bench.kept(1)
        assert bench.prune(0.1, most=100) <= 100
        kept = bench.kept(1)
        assert kept == before[-len(kept) :]
        assert bench.is_within(max_bytes)
        bench.samples(1, 100)
        assert len(bench.kept(1)) * 60 > max_bytes - 29 * 4096 - 200 * 60


def test_age_is_not_judged_before_the_clock_has_run_for_an_hour(tmp_path: Path) -> None:
    with Bench(tmp_path, replay=0, max_age_days=1) as bench:
        bench.line(1, "a")
        bench.samples(1, 10, at_s=0.0)
        bench.prune(0.9)
        assert len(bench.kept(1)) == 10
        bench.clock.ahead_s += 30 * DAY_S  # set right
        bench.prune(0.9)
        assert len(bench.kept(1)) == 10
        bench.prune(1)
        assert bench.kept(1) == []


@pytest.mark.parametrize("wrong_s", [0.0, 4.07e9])  # 1970 and 2099
def test_stamps_of_a_wrong_clock_cost_no_history_and_keep_nothing_for_ever(
    wrong_s: float, tmp_path: Path
) -> None:
    with Bench(tmp_path, replay=0, max_age_days=2) as bench:
        bench.line(1, "a")
        bench.samples(1, 5)
        bench.samples(1, 5, at_s=wrong_s)
        bench.prune(24)
        assert len(bench.kept(1)) == 10
        bench.samples(1, 5)
        bench.prune(47)
        assert len(bench.kept(1)) in {5, 10}
        bench.prune(3)
        assert bench.kept(1) == []


def test_a_clock_that_steps_ahead_while_samples_are_deleted_costs_none_of_the_young(
    tmp_path: Path,
) -> None:
    with Bench(tmp_path, replay=0, max_age_days=2) as bench:
        bench.line(1, "a")
        bench.samples(1, 1000)
        bench.clock.now_s += 3 * DAY_S
        bench.samples(1, 1000)
        assert bench.retention.step(100)  # under way
        kept = bench.kept(1)
        bench.clock.ahead_s += 40 * 365 * DAY_S
        while bench.retention.step(100):
            pass
        assert bench.kept(1) == kept


@many
@given(st.lists(st.tuples(st.floats(0.1, 4000), st.floats(-90, 90)), max_size=20))
def test_a_clock_is_trusted_an_hour_after_its_last_step(script: list[tuple[float, float]]) -> None:
    clock = ManualClock()
    trust = ClockTrust(clock)
    since_s = clock.now_s
    for passed_s, step_s in script:
        clock.now_s += passed_s
        clock.ahead_s += step_s
        if abs(step_s) > 60:
            since_s = clock.now_s
        if 59.9 < abs(step_s) < 60.1:
            return
        assert trust.holds() == (clock.now_s - since_s >= 3600)


# Plain peers


@many
@given(
    st.lists(st.tuples(st.integers(0, 900), st.booleans()), max_size=25),
    st.integers(0, 8),
    st.integers(0, 200),
)
def test_the_oldest_closed_lines_of_plain_peers_go_when_there_are_too_many(
    script: list[tuple[int, bool]], most: int, added: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, Bench(Path(folder)) as bench:
        plain = PlainLines(bench.connection, most, bench.census.removed)
        bench.line(1000, "a")
        for number, (count, live) in enumerate(script, 1):
            bench.line(number, None)
            bench.samples(number, count)
            plain.streams(number)
            if not live:
                plain.ended([number])
        before = bench.connection.total_changes
        while plain.step(added):
            assert bench.connection.total_changes - before <= 500 + added + 200
            before = bench.connection.total_changes
        closed = [number for number, (_, live) in enumerate(script, 1) if not live]
        gone = closed[: max(0, len(script) - most)]
        left = bench.connection.execute("SELECT line FROM lines ORDER BY line").fetchall()
        assert [line for (line,) in left] == [
            *(number for number in range(1, len(script) + 1) if number not in gone),
            1000,
        ]
        for number, (count, _) in enumerate(script, 1):
            assert len(bench.kept(number)) == (0 if number in gone else count)


async def test_the_churn_of_plain_peers_is_bounded_in_a_running_store(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    keeping = Keeping(plain_lines=3)
    with (
        lines_in(path, Chain, keeping=keeping, tick_s=0.0) as lines,
        await lines.open(None, "live") as live,
    ):
        await live.answer([sample(0)])
        for number in range(20):
            with await lines.open(None, str(number)) as stream:
                await stream.answer([sample(0), sample(1)])
        await live.answer([sample(1)])
    assert select(path, "SELECT peer FROM lines") == [("live",), ("18",), ("19",)]
    assert select(path, "SELECT received FROM sessions") == [(2,), (2,), (2,)]
    assert select(path, "SELECT count(*) FROM samples") == [(6,)]


# In a running store


async def test_a_running_store_stays_within_its_size(tmp_path: Path) -> None:
    path, limit = tmp_path / "broker.db", 1 << 20
    clock = ManualClock()
    keeping = Keeping(replay=100, max_bytes=limit)
    with lines_in(path, Chain, keeping=keeping, clock=clock) as lines:
        for first in range(0, 40_000, 500):
            clock.now_s += 1.0
            await send(lines, range(first, first + 500))
        rows = select(path, "SELECT count(*), min(id), max(id) FROM samples")
        pages = select(path, "SELECT * FROM pragma_page_count(), pragma_freelist_count()")
    ((used, free),) = pages
    assert (used - free) * 4096 < 1.2 * limit
    ((count, first_id, last_id),) = rows
    assert last_id == 39_999
    assert count == last_id - first_id + 1
    with lines_in(path, Chain) as lines:
        _, refusal = await send(lines, [39_999, 40_000])
        assert refusal is None
