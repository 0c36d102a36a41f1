"""`broker status --watch`: again and again, in a terminal and in a pipe."""

import io
import json

import pytest
from support.clock import ManualClock
from support.status import Records, line

from broker.watching import framed, watch


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class EnoughError(Exception):
    """A test has seen enough."""


async def watched(
    records: Records, clock: ManualClock, out: io.StringIO, *, as_json: bool = False
) -> None:
    """Watch for three turns, of a minute each."""
    turns = iter(range(3))

    async def pause(rest_s: float) -> None:
        assert rest_s == max(1.0, records.takes_s)
        clock.advance(60.0)
        if next(turns) == 2:
            raise EnoughError

    with pytest.raises(EnoughError):
        await watch(records, as_json=as_json, clock=clock, out=out, pause=pause)  # type: ignore[arg-type]


async def test_who_watches_many_agents_rests_as_long_as_a_look_takes(clock: ManualClock) -> None:
    records = Records(clock, line(clock))
    records.takes_s = 4.5
    await watched(records, clock, io.StringIO())


async def test_in_a_pipe_each_turn_is_a_block(clock: ManualClock) -> None:
    out = io.StringIO()
    await watched(Records(clock, line(clock)), clock, out)
    blocks = out.getvalue().split("\n\n")
    assert [("normal" in each, "offline" in each) for each in blocks] == [
        *((True, False), (False, True), (False, True), (False, False)),
    ]
    assert "\x1b" not in out.getvalue()


async def test_as_json_each_turn_is_a_line(clock: ManualClock) -> None:
    out = io.StringIO()
    await watched(Records(clock, line(clock)), clock, out, as_json=True)
    states = [json.loads(each)["agents"][0]["state"] for each in out.getvalue().splitlines()]
    assert states == ["normal", "offline", "offline"]


async def test_on_a_terminal_each_turn_is_written_over_the_one_before(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "5")
    out = Terminal()
    records = Records(clock, *(line(clock, f"press-{number}") for number in range(9)))
    await watched(records, clock, out)
    frames = out.getvalue().split("\x1b[H")[1:]
    assert len(frames) == 3
    for frame in frames:
        lines = frame.split("\n")
        assert len(lines) == 5
        assert lines[3] == "... 8 more: make the window larger\x1b[K"
        assert all(len(each.removesuffix("\x1b[K")) <= 60 for each in lines)


def test_a_text_that_fits_is_shown_whole() -> None:
    assert framed("one\ntwo", 80, 3) == "\x1b[Hone\x1b[K\ntwo\x1b[K\n\x1b[J"


def test_a_line_of_wide_characters_is_cut_where_the_terminal_ends() -> None:
    assert framed("温度e\u0301高い", 6, 3) == "\x1b[H温度e\u0301\x1b[K\n\x1b[J"
