"""`broker move-store`: moves all records from a file to a database, or back."""

import time
from collections.abc import AsyncIterator
from typing import TextIO

from broker.config import Store
from broker.progress import ProgressLine
from broker.recorder.moving import (
    KINDS,
    MovedAside,
    MovedCommand,
    MovedEvent,
    MovedExplanation,
    MovedGap,
    MovedLabels,
    MovedLine,
    MovedLoss,
    MovedSample,
    MovedSession,
    MovedSnapshot,
    MovedStanding,
    MoveSource,
    MoveTarget,
    Row,
)
from quartet.clock import Clock

_NOUNS: dict[type[Row], str] = {
    MovedLine: "line",
    MovedSession: "session",
    MovedGap: "gap",
    MovedLabels: "label",
    MovedSample: "sample",
    MovedExplanation: "explanation",
    MovedSnapshot: "snapshot",
    MovedAside: "former snapshot",
    MovedCommand: "command",
    MovedEvent: "event",
    MovedStanding: "state",
    MovedLoss: "lost range",
}
_TOLD = (MovedSession, MovedSample, MovedExplanation, MovedSnapshot, MovedEvent)


class Progress:
    """Counts what moves, and shows it in one line of a terminal."""

    def __init__(self, out: TextIO, clock: Clock = time) -> None:
        self._line = ProgressLine(out, clock)
        self._samples = 0
        self._agents = 0
        self.counts: dict[type[Row], int] = dict.fromkeys(KINDS, 0)
        """Rows of each kind so far."""

    def moved(self, row: Row) -> None:
        """One row is on its way."""
        kind = type(row)
        self.counts[kind] += 1
        if isinstance(row, MovedLine):
            self._samples += row.on_record
            self._agents += row.agent_id is not None
        if self._line.is_due:
            of = f" of {self._samples:,}" if kind is MovedSample else ""
            self._line.show(f"moving: {_number(self.counts[kind], _NOUNS[kind])}{of}")

    def __str__(self) -> str:
        """What was moved, for people."""
        told = (_number(self.counts[kind], _NOUNS[kind]) for kind in _TOLD)
        return ", ".join([_number(self._agents, "agent"), *told])

    def end(self) -> None:
        """Leave the line empty."""
        self._line.end()


async def move(source: MoveSource, target: MoveTarget, progress: Progress) -> None:
    """Move all rows. StoreError: the target is not to be used."""
    try:
        for kind in KINDS:
            rows = source.rows(kind)
            if kind is MovedSnapshot:
                rows = _latest_of_each(rows)
            await target.write(kind, _counted(rows, progress))
    finally:
        progress.end()


def told(progress: Progress, source: Store, target: Store) -> str:
    """How it went, for people."""
    return (
        f"moved {progress}\n"
        f"{target} has them now. {source} was not changed: rename it, so that no broker uses it"
        " by mistake"
    )


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


async def _counted(rows: AsyncIterator[Row], progress: Progress) -> AsyncIterator[Row]:
    async for row in rows:
        progress.moved(row)
        yield row


async def _latest_of_each(rows: AsyncIterator[Row]) -> AsyncIterator[Row]:
    """Leave out a snapshot where the next one has seen no other sample that is on record.

    They come line by line, the newest last.
    """
    held: Row | None = None
    async for row in rows:
        if held and held[:2] != row[:2]:
            yield held
        held = row
    if held:
        yield held
