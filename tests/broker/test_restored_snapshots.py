"""Snapshots of a line's predictor: when they are taken, and what they spare."""

import logging

import pytest
from support.chain import Chain, Forgetful
from support.read import Place
from support.store import (
    OpenLines,
    expected,
    sample,
    send,
    send_on,
)

from broker.model import Sample
from broker.records import SNAPSHOT_EVERY


async def test_without_snapshots_the_configured_number_of_samples_is_replayed(place: Place) -> None:
    async with place.lines(Forgetful, replay=30) as lines:
        await send(lines, range(100))
    box = Forgetful()
    expected(box, range(70, 100))
    async with place.lines(Forgetful, replay=30) as lines:
        assert (await send(lines, range(100, 120)))[0] == expected(box, range(100, 120))


async def test_a_snapshot_is_taken_every_so_many_samples_with_the_rows_up_to_it(
    place: Place,
) -> None:
    async with place.lines(Chain) as lines:
        for first in range(0, 3 * SNAPSHOT_EVERY, 700):
            await send(lines, range(first, first + 700))
    states = await place.select("SELECT position, state FROM snapshots ORDER BY position")
    position, state = states[-1]
    assert position == 3 * SNAPSHOT_EVERY
    box = Chain()
    expected(box, range(3 * SNAPSHOT_EVERY))
    assert state == box.state


async def test_what_was_replayed_counts_towards_the_next_snapshot(place: Place) -> None:
    for first in range(0, SNAPSHOT_EVERY, SNAPSHOT_EVERY // 4):
        async with place.lines(Chain) as lines:
            await send(lines, range(first, first + SNAPSHOT_EVERY // 4))
    assert await place.select("SELECT position FROM snapshots") == [(SNAPSHOT_EVERY,)]


class Counting(Chain):
    """Counts how many samples it was given itself."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def predict(self, sample: Sample) -> bool:
        self.count += 1
        return super().predict(sample)


async def test_a_snapshot_spares_the_replay_of_what_it_has_seen(place: Place) -> None:
    made: list[Counting] = []

    def make() -> Counting:
        made.append(Counting())
        return made[-1]

    for first in (0, SNAPSHOT_EVERY + 5):
        async with place.lines(make) as lines:
            await send(lines, range(first, SNAPSHOT_EVERY + 5 + first))
    assert made[-1].count == 5 + SNAPSHOT_EVERY + 5


async def test_a_snapshot_of_another_black_box_is_not_restored_and_that_is_said(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with place.lines(Chain, digest="old") as lines:
        await send(lines, range(SNAPSHOT_EVERY + 10))
    box = Forgetful()
    expected(box, range(SNAPSHOT_EVERY - 20, SNAPSHOT_EVERY + 10))
    async with place.lines(Chain, digest="new", replay=30) as lines:
        ids = range(SNAPSHOT_EVERY + 10, SNAPSHOT_EVERY + 20)
        assert (await send(lines, ids))[0] == expected(box, ids)
    assert "a: its snapshot is of another predictor" in caplog.text
    newest = "SELECT digest, state FROM snapshots ORDER BY position DESC LIMIT 1"
    assert await place.select(newest) == [("new", None)]
    assert await place.select("SELECT digest FROM sessions") == [("new",)]


class Refusing(Chain):
    def restore(self, _: bytes) -> None:
        raise ValueError("not mine")


async def test_a_black_box_that_refuses_its_snapshot_begins_anew_and_is_replayed(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    count = SNAPSHOT_EVERY + 10
    async with place.lines(Refusing) as lines:
        await send(lines, range(count))
    box = Refusing()
    expected(box, range(count))
    async with place.lines(Refusing) as lines:
        ids = range(count, count + 20)
        assert (await send(lines, ids))[0] == expected(box, ids)
    assert "refuses its snapshot (ValueError: not mine)" in caplog.text


class Bulky(Chain):
    def snapshot(self) -> bytes:
        return bytes(2 << 20)


class Mute(Chain):
    def snapshot(self) -> bytes:
        raise OSError("no pen")


class Stringly(Chain):
    def snapshot(self) -> bytes:
        return "state"  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("make", "reason"),
    [(Bulky, "2097152 bytes"), (Mute, "OSError: no pen"), (Stringly, "returned str, not bytes")],
)
async def test_a_snapshot_that_fails_is_said_once_and_the_line_lives_on_its_records(
    make: type[Chain], reason: str, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    count = 3 * SNAPSHOT_EVERY
    async with place.lines(Chain) as lines:
        await send(lines, range(SNAPSHOT_EVERY))
    async with place.lines(make) as lines:
        await send(lines, range(SNAPSHOT_EVERY, count))
        await send(lines, range(count, count + 10))
    assert [reason in record.getMessage() for record in caplog.records] == [True]
    newest = "SELECT state FROM snapshots ORDER BY position DESC LIMIT 1"
    assert await place.select(newest) == [(None,)]  # the old one would need all rows since
    box = Chain()
    expected(box, range(count + 10))
    async with place.lines(make) as lines:
        ids = range(count + 10, count + 30)
        assert (await send(lines, ids))[0] == expected(box, ids)


async def test_no_state_is_asked_for_where_none_is_kept(place: Place) -> None:
    """Of a plain peer, whose line ends with it, and in memory."""
    asked = 0

    class Asked(Chain):
        def snapshot(self) -> bytes:
            nonlocal asked
            asked += 1
            return super().snapshot()

    async with place.lines(Asked, snapshot_every=2) as lines:
        with await lines.open(None) as plain:
            await send_on(plain, [sample(id_) for id_ in range(10)])
        await send(OpenLines(Asked, snapshot_every=2), range(10))
        assert asked == 0
        await send(lines, range(10))
        assert asked == 5
    assert await place.select("SELECT agent_id FROM snapshots JOIN lines USING (line)") == [("a",)]
