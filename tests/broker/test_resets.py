"""A reset by a person has a line of its own among the explanations: did it end an alarm?"""

import asyncio
from collections.abc import Sequence

import pytest
from support.patience import PATIENCE_S
from support.read import Place
from support.store import OpenLines, header, send_on

from broker.errors import RecordError
from broker.model import Code, Refusal, Sample
from broker.recorder.reader import Span

RESET = "predictor reset, as a person asked"
ENDED = f"alarm is over: {RESET}"


class Loud:
    """True above five, and says why; raises below zero."""

    _value = 0.0

    def predict(self, sample: Sample) -> bool:
        self._value = sample.values[0]
        if self._value < 0.0:
            raise ValueError("below zero")
        return self._value > 5.0

    def explain(self) -> str | None:
        return f"sensor1 at {self._value:g}" if self._value > 5.0 else None


async def said(place: Place) -> list[tuple[int, str]]:
    return [(each.id, each.text) for each in await place.reader.explanations("a", Span())]


async def show(lines: OpenLines, first_id: int, *values: float) -> Refusal | None:
    """Have samples answered on a stream of their own; the refusal of one, if any."""
    with await lines.open(header(first_id)) as stream:
        _, refusal = await send_on(stream, rows(first_id, values))
        return refusal


def rows(first_id: int, values: Sequence[float]) -> list[Sample]:
    return [Sample(id_, (value, 0.0, 0.0, 0.0)) for id_, value in enumerate(values, first_id)]


async def reset(place: Place, lines: OpenLines) -> None:
    """Give the command, and return when the broker has heard of it."""
    await place.reader.command_rebase("a")
    claim = await lines.recorder.claim(header(), "")
    async with asyncio.timeout(PATIENCE_S):
        while not lines.recorder.pending_rebase(claim):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("before", "after", "news"),
    [
        (7.0, (1.0, 1.0), [(0, "sensor1 at 7"), (1, ENDED)]),
        (
            7.0,
            (8.0, 9.0),
            [(0, "sensor1 at 7"), (1, f"{RESET}; sensor1 at 8"), (2, "sensor1 at 9")],
        ),
        (7.0, (1.0, 9.0), [(0, "sensor1 at 7"), (1, ENDED), (2, "sensor1 at 9")]),
        (1.0, (1.0, 1.0), [(1, RESET)]),
        (1.0, (8.0, 1.0), [(1, f"{RESET}; sensor1 at 8")]),
    ],
)
@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_reset_is_told_once_with_the_first_sample_after_it(
    is_restarted: bool,
    before: float,
    after: tuple[float, ...],
    news: list[tuple[int, str]],
    place: Place,
) -> None:
    async with place.lines(Loud) as lines:
        await show(lines, 0, before)
        if not is_restarted:
            await reset(place, lines)
            await show(lines, 1, *after)
    if is_restarted:
        await place.reader.command_rebase("a")
    async with place.lines(Loud) as lines:
        await show(lines, 1, *after)
        await show(lines, 1, *after)
        assert await said(place) == news
    async with place.lines(Loud) as lines:
        await show(lines, 1, *after, 1.0)
    assert await said(place) == news


async def test_the_end_of_an_alarm_is_told_with_the_first_sample_that_is_answered(
    place: Place,
) -> None:
    async with place.lines(Loud) as lines:
        await show(lines, 0, 7.0)
        await reset(place, lines)
        refusal = await show(lines, 1, -1.0, 2.0)
        assert refusal
        assert refusal.code is Code.INTERNAL
        assert await said(place) == [(0, "sensor1 at 7")]
        await show(lines, 2, 1.0, 1.0)
        assert await said(place) == [(0, "sensor1 at 7"), (2, ENDED)]


async def test_two_resets_before_a_sample_are_told_as_one(place: Place) -> None:
    async with place.lines(Loud) as lines:
        await show(lines, 0, 7.0)
        await reset(place, lines)
        await show(lines, 1, -1.0)
        await reset(place, lines)
        await show(lines, 2, 1.0)
    assert await said(place) == [(0, "sensor1 at 7"), (2, ENDED)]


async def test_a_reset_whose_commit_failed_is_told_when_its_sample_is_sent_again(
    place: Place,
) -> None:
    async with place.lines(Loud) as lines:
        await show(lines, 0, 7.0)
        await reset(place, lines)
        async with place.full():
            with pytest.raises(RecordError):
                await show(lines, 1, 1.0)
        assert await said(place) == [(0, "sensor1 at 7")]
        await show(lines, 1, 1.0)
        assert await said(place) == [(0, "sensor1 at 7"), (1, ENDED)]


async def test_what_a_predictor_says_at_length_is_cut_behind_the_reset(place: Place) -> None:
    class Long(Loud):
        def explain(self) -> str:
            return "x" * 500

    async with place.lines(Long) as lines:
        await show(lines, 0, 7.0)
        await reset(place, lines)
        await show(lines, 1, 1.0)
    assert (await said(place))[1] == (1, f"{ENDED}; {'x' * 500}"[:500])
