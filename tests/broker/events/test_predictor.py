"""What a store keeps of a line's predictor: alarms, resets and accepted levels."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.chain import Chain
from support.clock import ManualClock
from support.events import Threshold, events, rows, state
from support.read import Place
from support.store import (
    OpenLines,
    header,
    lines_in,
    send,
    send_on,
)

from broker.model import Alarm, Sample, Standing
from broker.recorder.opening import open_reader
from broker.status import read
from broker.stream import Stream
from wire.metadata import StreamHeader


@asynccontextmanager
async def opened_in(lines: OpenLines, opened: StreamHeader) -> AsyncIterator[Stream]:
    with await lines.open(opened) as stream:
        yield stream


async def is_commanded(lines: OpenLines) -> None:
    """Return when the recorder's thread has seen the command to reset the predictor."""
    claim = await lines.recorder.claim(header(), "")
    while not lines.recorder.pending_rebase(claim):  # noqa: ASYNC110 - a thread's
        await asyncio.sleep(0.01)


async def test_a_predictor_that_is_restored_or_begins_again_is_on_record(place: Place) -> None:
    async with place.lines(Chain, digest="d1", snapshot_every=10) as lines:
        await send(lines, range(15))
    assert await events(place) == [
        ("opened", "from 1.2.3.4:5")
    ]  # a new line has nothing to restore
    async with place.lines(Chain, digest="d1", snapshot_every=10) as lines:
        await send(lines, range(15, 20))
        assert (await state(place)).begun is None
        await place.reader.command_rebase("a")
        await is_commanded(lines)
        await send(lines, range(20, 25))
    async with place.lines(Chain, digest="d2", snapshot_every=10) as lines:
        await send(lines, range(25, 30))
    assert [each for each in await events(place) if each[0] != "opened"] == [
        ("restored", "5 samples replayed"),
        ("begun", "a person asked for it"),
        ("begun", "another predictor (code, model or options); 5 samples replayed"),
    ]
    begun = (await state(place)).begun
    assert begun
    assert begun.text.startswith("another predictor")


async def test_an_alarm_lasts_from_its_first_sample_also_over_a_restart_and_in_a_backlog(
    place: Place,
) -> None:
    clock = ManualClock()
    opened = header(0, at_ns=10_000, period_ns=10)
    async with place.lines(Threshold, clock=clock) as lines, opened_in(lines, opened) as stream:
        await send_on(stream, rows(0, 1.0, 1.0, 7.0, 8.0))
    alarm = Alarm(10_020, "sensor1 at 7")
    assert (await state(place)).standing == Standing(None, alarm)
    clock.advance(3600.0)
    async with place.lines(Threshold, clock=clock) as lines:
        opened = header(4, at_ns=20_000, period_ns=10)
        with await lines.open(opened) as stream:
            assert lines.standing("a").alarm == alarm
            await send_on(stream, rows(4, 9.0))
            assert (await state(place)).standing.alarm == alarm
            await send_on(stream, rows(5, 1.0))
            assert (await state(place)).standing == Standing()
            await send_on(stream, rows(6, 6.0))
            assert (await state(place)).standing.alarm == Alarm(20_020, "sensor1 at 6")
        unpaced = header(7, at_ns=30_000)
        with await lines.open(unpaced) as stream:
            await send_on(stream, rows(7, 0.0))
            await send_on(stream, rows(8, 6.0))
            alarm = (await state(place)).standing.alarm  # since it arrived, as nobody says more
            assert alarm
            assert alarm.reason == "sensor1 at 6"
            assert alarm.since_ns > 30_000


async def test_after_a_reset_an_alarm_begins_again(place: Place) -> None:
    opened = header(0, at_ns=100, period_ns=10)
    async with place.lines(Threshold) as lines, opened_in(lines, opened) as stream:
        await send_on(stream, rows(0, 7.0, 7.0))
        await place.reader.command_rebase("a")
        await is_commanded(lines)
        await send_on(stream, rows(2, 8.0))
        assert (await state(place)).standing.alarm == Alarm(120, "sensor1 at 8")


class Follower(Threshold):
    """Follows its machine, once it has seen a value above five."""

    _shift: str | None = None

    def predict(self, sample: Sample) -> bool:
        answer = super().predict(sample)
        self._shift = f"{sample.values[0]:g} spreads off\n" if answer else self._shift
        return answer

    def shift(self) -> str | None:
        return self._shift

    def snapshot(self) -> bytes:
        return self.state + (self._shift or "").encode()

    def restore(self, state: bytes) -> None:
        self.state, self._shift = state[:16], state[16:].decode() or None


async def test_an_accepted_level_is_on_record_over_restarts_until_a_reset(path: Path) -> None:
    for first, value in ((0, 7.0), (1, 1.0)):
        with (
            lines_in(path, Follower, snapshot_every=1) as lines,
            await lines.open(header(first)) as stream,
        ):
            await send_on(stream, rows(first, value))
            assert (await state(path)).standing.shift == "7 spreads off "
    with lines_in(path, Follower) as lines:
        with await lines.open(header(2)) as stream:
            await open_reader(path).command_rebase("a")
            await is_commanded(lines)
            await send_on(stream, rows(2, 1.0))
        assert lines.standing("a").shift is None
    assert (await state(path)).standing == Standing()


class Delicate(Threshold):
    """Raises below zero."""

    def predict(self, sample: Sample) -> bool:
        if sample.values[0] < 0.0:
            raise ValueError("below zero")
        return super().predict(sample)


async def test_an_alarm_is_over_with_a_reset_also_where_the_first_sample_raises(
    place: Place,
) -> None:
    async with place.lines(Delicate) as lines:
        with await lines.open(header(0, at_ns=100, period_ns=10)) as stream:
            await send_on(stream, rows(0, 7.0))
            await place.reader.command_rebase("a")
            await is_commanded(lines)
            _, refusal = await stream.answer(rows(1, -1.0))
            assert refusal
        assert lines.standing("a").alarm is None
        assert (await state(place)).standing.alarm is None
        (agent,) = (await read(place.reader)).agents
        assert agent.alarm is None
        with await lines.open(header(2, at_ns=120, period_ns=10)) as stream:
            await send_on(stream, rows(2, 8.0))
        assert (await state(place)).standing.alarm == Alarm(120, "sensor1 at 8")


@pytest.mark.parametrize(("value", "alarm"), [(8.0, Alarm(120, "sensor1 at 8")), (1.0, None)])
async def test_an_alarm_is_over_with_the_predictor_that_raised_it(
    place: Place, value: float, alarm: Alarm | None
) -> None:
    for digest, first, values in (("d1", 0, (7.0, 7.0)), ("d2", 2, (value,))):
        opened = header(first, at_ns=100 + 10 * first, period_ns=10)
        async with (
            place.lines(Threshold, digest=digest, snapshot_every=1) as lines,
            opened_in(lines, opened) as stream,
        ):
            await send_on(stream, rows(first, *values))
    assert (await state(place)).standing.alarm == alarm
