"""The samples of a line as they are replayed: each verified, and none missing without a word."""

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from broker.model import Sample
from broker.recorder.sqlite.checksums import SAMPLE_COLUMNS, SENSORS, sample_verifies
from broker.recorder.upkeep import without
from quartet.plural import counted

log = logging.getLogger(__name__)

# As many samples are read at a time as are replayed in some milliseconds.
_CHUNK = 500

# Ranges of ids in one message.
_MOST_NAMED = 5


@dataclass(slots=True)
class _Course:
    """How far the replay of one line has come."""

    line: int
    since: int
    """The position behind which it began."""
    at: int
    """The position that was given out last."""
    last_ids: dict[int, int] = field(default_factory=dict)
    """By session, the last id that was replayed."""
    bad: dict[int, Any] = field(default_factory=dict)
    """By position, the id that a damaged row has."""
    missing: list[tuple[int, int]] = field(default_factory=list)
    """First and last of ids that were answered, and have no whole row."""


class Replays:
    """Reads lines for their replay. What was lost is told once, at the end of each replay.

    One thread at a time; each method raises sqlite3.Error.
    """

    def __init__(self, connection: sqlite3.Connection, most_gaps: int) -> None:
        self._connection = connection
        self._most_gaps = most_gaps
        self._courses: dict[str, _Course] = {}

    def begin(self, agent_id: str, line: int, position: int) -> None:
        """Expect the samples of a line behind a position."""
        course = self._courses[agent_id] = _Course(line, position, position)
        for row in self._rows(line, position - 1, 1):
            if row[0] == position and sample_verifies(row):
                course.last_ids[row[2]] = row[3]

    def samples(self, agent_id: str, after: int) -> list[tuple[int, Sample]]:
        """The next samples behind a position, with theirs; none at the end."""
        course = self._courses.get(agent_id)
        if course is None or course.at != after:  # of another replay, which was left
            course = self._courses[agent_id] = _Course(self._line(agent_id), after, after)
        found: dict[int, Sample] = {}
        while not found:
            rows = self._rows(course.line, after, _CHUNK)
            if not rows:
                self._end(agent_id, self._courses.pop(agent_id))
                break
            # A damaged index may give rows twice, and out of their order.
            for row in sorted(rows, key=lambda row: int(row[0])):
                position, _, session, id_, sensors, *_ = row
                if not sample_verifies(row):
                    course.bad[position] = id_
                elif position not in found:
                    self._expect(course, session, id_)
                    found[position] = Sample(id_, SENSORS.unpack(sensors))
            after = max(row[0] for row in rows)
        course.at = max(found, default=after)
        return list(found.items())

    def _rows(self, line: int, after: int, most: int) -> list[tuple[Any, ...]]:
        return self._connection.execute(
            f"SELECT {SAMPLE_COLUMNS} FROM samples WHERE line = ? AND position > ?"  # noqa: S608
            " ORDER BY position LIMIT ?",
            (line, after, most),
        ).fetchall()

    def _line(self, agent_id: str) -> int:
        row = self._connection.execute(
            "SELECT line FROM lines WHERE agent_id = ?", (agent_id,)
        ).fetchone()
        return row[0] if row else 0

    def _expect(self, course: _Course, session: int, id_: int) -> None:
        """Note the ids of a session before this one that should be there, and are not."""
        last_id = course.last_ids.get(session)
        if last_id is None:
            last_id = self._unseen(course, session, id_)
        course.last_ids[session] = id_
        if id_ <= last_id + 1:
            return
        ids = last_id + 1, id_ - 1
        gaps = self._connection.execute(
            "SELECT first, last FROM gaps WHERE session = ? AND first <= ? AND last >= ?"
            " ORDER BY first",
            (session, ids[1], ids[0]),
        ).fetchall()
        missing = without([ids], gaps)
        if missing and self._names_gaps(session):
            course.missing += missing

    def _names_gaps(self, session: int) -> bool:
        """Whether all gaps of a session are named: of very many not, nor of a forgotten one."""
        named: int = self._connection.execute(
            "SELECT count(*) FROM gaps WHERE session = ?", (session,)
        ).fetchone()[0]
        return named < self._most_gaps and self._last_id(session) is not None

    def _unseen(self, course: _Course, session: int, id_: int) -> int:
        """The id behind which those of a session are missing before the first that was found."""
        row = self._connection.execute(
            "SELECT id, position FROM samples WHERE session = ? AND id < ?"
            " ORDER BY id DESC LIMIT 1",
            (session, id_),
        ).fetchone()
        return row[0] - 1 if row and row[1] > course.since else id_ - 1

    def _last_id(self, session: int) -> int | None:
        row = self._connection.execute(
            "SELECT last_id FROM sessions WHERE session = ?", (session,)
        ).fetchone()
        return row[0] if row else None

    def _end(self, agent_id: str, course: _Course) -> None:
        for session, replayed_id in course.last_ids.items():
            last_id = self._last_id(session)
            if last_id is not None and last_id > replayed_id:
                course.missing.append((replayed_id + 1, last_id))
        ranges = course.missing or [(id_, id_) for id_ in course.bad.values()]
        if ranges:
            lost = sum(last - first + 1 for first, last in course.missing)
            count = max(lost, len(course.bad))
            log.error(
                "%s: %s damaged or missing (%s): they are left out of"
                " the replay, and later predictions may differ until 'broker rebase %s' or its"
                " next learning phase",
                *(
                    agent_id,
                    counted(count, "recorded sample", "is", "are"),
                    _named(ranges),
                    agent_id,
                ),
            )


def _named(ranges: Sequence[tuple[int, int]]) -> str:
    named = [
        f"{first}" if first == last else f"{first} to {last}"
        for first, last in ranges[:_MOST_NAMED]
    ]
    more = ", ..." if len(ranges) > _MOST_NAMED else ""
    return f"ids {', '.join(named)}{more}"
