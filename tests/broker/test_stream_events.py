"""Streams of an agent that follow each other on one connection are one on record."""

from pathlib import Path

import pytest
from support.clock import ManualClock
from support.store import header, sample

from broker.model import Answer
from broker.recorder.opening import open_reader
from broker.recorder.reader import Span
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.recorder import SqliteRecorder
from broker.records import ENDED_BY_AGENT, Batch, Event, EventKind, Opened

HERE, THERE = "10.0.0.4:5000", "10.0.0.4:6000"
BROKEN = "the connection broke"


@pytest.mark.parametrize(
    ("reason", "pause_s", "peer", "expected"),
    [
        (ENDED_BY_AGENT, 0.5, HERE, ["opened"]),
        (ENDED_BY_AGENT, 1.5, HERE, ["opened", "ended", "opened"]),
        (ENDED_BY_AGENT, 0.5, THERE, ["opened", "ended", "opened"]),
        (BROKEN, 0.5, HERE, ["opened", "ended", "opened"]),
    ],
)
async def test_only_the_next_stream_of_the_same_connection_takes_an_end_back(
    tmp_path: Path, reason: str, pause_s: float, peer: str, expected: list[str]
) -> None:
    path, clock = tmp_path / "broker.db", ManualClock()
    with SqliteRecorder(path, "d", Keeping(), clock, tick_s=0.01) as recorder:
        for number, address in enumerate((HERE, peer)):
            claim = await recorder.claim(header(number), address)
            answer = Answer(number, False)
            await recorder.record(Batch(claim, [sample(number)], [answer], opened=Opened()))
            if number == 0:
                recorder.release(claim, Event(EventKind.ENDED, reason))
                clock.advance(pause_s)
    events = await open_reader(path).events("a", Span())
    assert [each.kind for each in events] == [EventKind(kind) for kind in expected]
