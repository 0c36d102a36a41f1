"""Snapshots as a history: which are kept, which is restored, and which never."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from support.chain import Chain, Forgetful
from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.read import Place
from support.store import change, expected, header, lines_in, sample, select, send

from broker.model import Sample
from broker.recorder.sqlite.keeping import Keeping


class Quiet(Chain):
    """Predicts True from sample 50 on, up to 60."""

    def predict(self, sample: Sample) -> bool:
        super().predict(sample)
        return 50 <= sample.id < 60


def _made(boxes: list[Quiet]) -> Quiet:
    boxes.append(Quiet())
    return boxes[-1]


async def test_a_damaged_snapshot_gives_way_to_an_earlier_one_and_predictions_stay_the_same(
    path: Path, errors: Callable[[], list[str]]
) -> None:
    clock = ManualClock()
    with lines_in(path, Quiet, clock=clock, snapshot_every=10) as lines:
        for first in range(0, 100, 10):
            await send(lines, range(first, first + 10))
            clock.advance(1000.0)
    quiet = Quiet()
    for id_ in range(100):
        quiet.predict(sample(id_))
    states = [position for (position,) in select(path, "SELECT position FROM snapshots")]
    assert len(states) > 2
    for number, position in enumerate(reversed(states)):
        change(path, "UPDATE snapshots SET state = x'00' WHERE position = ?", position)
        restored: list[Quiet] = []
        with lines_in(path, lambda: _made(restored), snapshot_every=10_000) as lines:  # noqa: B023
            await send(lines, [99, 100 + number])
        quiet.predict(sample(100 + number))
        assert restored[-1].state == quiet.state
    told = "its newest snapshot is damaged: an earlier one is restored"
    assert [told in error for error in errors()] == [True] * (len(states) - 1) + [False]
    assert "its snapshots are damaged: its predictor starts again" in errors()[-1]


async def test_snapshots_are_kept_by_the_hour_and_before_each_alarm(place: Place) -> None:
    clock = ManualClock(wall_s=3600.0 * 1000)
    async with place.lines(Quiet, clock=clock, snapshot_every=4) as lines:
        for id_ in range(80):
            await send(lines, [id_])
            clock.advance(120.0)  # 30 samples an hour
    assert await place.snapshots() == [(28, 1, 1), (48, 1, 1), (60, 1, 1), (80, 1, 0)]


async def test_a_snapshot_of_the_same_commit_as_an_alarm_is_told_from_it(place: Place) -> None:
    async with place.lines(Quiet, snapshot_every=45) as lines:
        await send(lines, range(46))
        await send(lines, range(46, 95))
        assert await place.snapshots() == [(45, 1, 1), (90, 1, 0)]
    async with place.lines(Quiet, snapshot_every=45) as lines:
        await send(lines, range(52), agent="b")
    assert [kept for *_, kept in await place.snapshots("b")] == [1]


async def test_what_a_broker_kept_the_next_one_knows(place: Place) -> None:
    """And that there was an alarm already."""
    clock = ManualClock(wall_s=3600.0 * 1000)
    for first, end in ((0, 30), (30, 52), (52, 58), (58, 82)):
        async with place.lines(Quiet, clock=clock, snapshot_every=10) as lines:
            await send(lines, range(first, end))
        clock.advance(60.0)
    assert await place.snapshots() == [(50, 1, 1), (80, 1, 0)]


async def test_a_reset_by_a_person_is_where_a_predictor_begins(place: Place) -> None:
    """Also for brokers that were not there."""
    async with place.lines(Quiet, snapshot_every=10) as lines:
        await send(lines, range(25))
        await place.reader.command_rebase("a")
        claim = await lines.recorder.claim(header(), "")
        async with asyncio.timeout(PATIENCE_S):
            while not lines.recorder.pending_rebase(claim):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        lines.recorder.release(claim)
        await send(lines, range(25, 28))
        assert await place.snapshots() == [(20, 1, 1), (25, 1, 2)]
        assert not lines.recorder.pending_rebase(claim)
    quiet = Quiet()
    for id_ in range(25, 30):
        quiet.predict(sample(id_))
    restored: list[Quiet] = []
    async with place.lines(lambda: _made(restored), snapshot_every=1000) as lines:
        await send(lines, [28, 29])
    assert restored[-1].state == quiet.state
    assert [each.is_applied for each in await place.reader.commands("a")] == [True]


async def test_what_was_before_a_reset_is_kept_to_be_looked_at_and_never_restored(
    path: Path, errors: Callable[[], list[str]]
) -> None:
    with lines_in(path, Quiet, snapshot_every=10) as lines:
        await send(lines, range(25))
        change(path, "INSERT INTO commands (agent_id, name, at_ns) VALUES ('a', 'rebase', 0)")
        while not lines.recorder._commits.rebases:  # noqa: SLF001 - its tick
            await lines.recorder.basis("none", with_snapshot=True)
        await send(lines, range(25, 28))
    kept = "SELECT position, state IS NULL, is_kept FROM snapshots ORDER BY position"
    assert select(path, kept) == [(20, 0, 1), (25, 0, 2)]
    change(path, "UPDATE snapshots SET state = x'00' WHERE position = 25")
    quiet = Quiet()
    for id_ in range(25, 30):
        quiet.predict(sample(id_))
    restored: list[Quiet] = []
    with lines_in(path, lambda: _made(restored), snapshot_every=1000) as lines:
        await send(lines, [28, 29])
    assert restored[-1].state == quiet.state
    assert "its snapshots are damaged: its predictor starts again" in errors()[0]


@pytest.mark.parametrize("make", [Chain, Forgetful])
@pytest.mark.parametrize("shift", [-20, 2, 1000])
async def test_a_damaged_command_moves_no_reset(
    make: type[Forgetful], shift: int, path: Path, errors: Callable[[], list[str]]
) -> None:
    with lines_in(path, make, snapshot_every=10) as lines:
        await send(lines, range(25))
        change(path, "INSERT INTO commands (agent_id, name, at_ns) VALUES ('a', 'rebase', 0)")
        while not lines.recorder._commits.rebases:  # noqa: SLF001 - its tick
            await lines.recorder.basis("none", with_snapshot=True)
        await send(lines, range(25, 33))
    change(path, "UPDATE commands SET position = position + ?", shift)
    box = make()
    expected(box, range(25, 33))
    with lines_in(path, make, snapshot_every=10) as lines:
        assert (await send(lines, range(33, 60)))[0] == expected(box, range(33, 60))
    assert select(path, "SELECT count(*) FROM snapshots WHERE is_kept = 2") == [(1,)]
    assert errors() == []


async def test_a_snapshot_goes_with_the_samples_behind_it(path: Path) -> None:
    clock = ManualClock()
    with lines_in(path, Chain, clock=clock, snapshot_every=10) as lines:
        for first in range(0, 100, 10):
            await send(lines, range(first, first + 10))
            clock.advance(3600.0)
    kept = Keeping(max_age_days=0.25)
    with lines_in(path, Chain, clock=clock, keeping=kept, snapshot_every=10) as lines:
        for _ in range(3):
            clock.advance(601.0)
            await lines.recorder.basis("none", with_snapshot=True)
        clock.advance(3600.0)
        while select(path, "SELECT min(position) FROM samples") == [(1,)]:
            await lines.recorder.basis("none", with_snapshot=True)
    ((oldest,),) = select(path, "SELECT min(position) FROM samples")
    ((oldest_state,),) = select(path, "SELECT min(position) FROM snapshots")
    assert oldest > 1
    assert oldest_state >= oldest - 1
