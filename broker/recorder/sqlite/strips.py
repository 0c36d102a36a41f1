"""Samples of the store as columns: what a program reads that wants very many of them."""

import sqlite3
import struct
from collections.abc import Sequence
from typing import Any

from broker.recorder.reader import Bulk, Span, Strip
from broker.recorder.sqlite.checksums import SENSORS
from broker.recorder.sqlite.keeping import UNKNOWN
from quartet.channels import Values
from quartet.errors import DamagedError

# A clock that is set by an hour, and some minutes.
_DISORDER_NS = 3900 * 10**9

# A clock that is ahead by more is not of another time zone, but wrong.
_AHEAD_NS = 26 * 3600 * 10**9

OTHERS = 2**62
"""In place of a position, for a cursor that another kind of store has given: none is as high."""

# Looks between two positions, for a beginning.
_PROBES = 256

# Looked at in one transaction: some milliseconds, in which the file's log cannot be emptied.
CHUNK = 5000


def bulk(rows: sqlite3.Connection, behind: int, mark: int | None, most: int) -> Bulk:
    """At most `most` samples of all agents behind a position. Raises sqlite3.Error.

    `mark`: when the sample at that position arrived, as far as that is known.
    """
    cursor = str(behind) if mark is None else f"{behind}:{mark}"
    if behind and _is_another(rows, behind, mark):
        return Bulk([], _cursor_by(rows, behind, mark), is_another=True)
    found = rows.execute(
        "SELECT line, sampled_at_ns, prediction, sensors, position FROM samples"
        " WHERE position > ? ORDER BY position LIMIT ?",
        (behind, most),
    ).fetchall()
    if not found:
        return Bulk([], cursor, is_last=True)
    end = found[-1][-1]
    lines: dict[int, list[tuple[Any, ...]]] = {}
    for row in found:
        try:
            lines[row[0]].append(row)
        except KeyError:
            lines[row[0]] = [row]
    (arrived_at_ns,) = rows.execute(
        "SELECT arrived_at_ns FROM samples WHERE position = ?", (end,)
    ).fetchone()
    said = _said(rows, behind, end)
    strips, damaged = [], 0
    for line, of_line in lines.items():
        agent = rows.execute("SELECT agent_id, peer FROM lines WHERE line = ?", (line,)).fetchone()
        if agent and agent[0] is not None:
            sound = of_line if _are_sound(of_line) else [row for row in of_line if _is_sound(row)]
            damaged += len(of_line) - len(sound)
            if not sound:
                continue
            _, times, predictions, sensors, positions = zip(*sound, strict=True)
            texts = (
                [
                    (number, said[position])
                    for number, position in enumerate(positions)
                    if position in said
                ]
                if said
                else []
            )
            peer = "" if agent[1] == UNKNOWN else agent[1]
            strips.append(Strip(agent[0], times, predictions, _values(sensors), texts, peer))
    is_last = len(found) < most
    return Bulk(strips, f"{end}:{arrived_at_ns}", arrived_at_ns, is_last, damaged=damaged)


def _is_another(rows: sqlite3.Connection, position: int, mark: int | None) -> bool:
    """Whether a position was never given, or to another sample."""
    there = rows.execute(
        "SELECT arrived_at_ns FROM samples WHERE position = ?", (position,)
    ).fetchone()
    if there:
        return mark is not None and there[0] != mark
    # The highest position that was given. Of samples that were forgotten, a command keeps it.
    newest: int = rows.execute(
        "SELECT max(ifnull((SELECT max(position) FROM samples), 0),"
        " ifnull((SELECT max(position) FROM commands), 0))"
    ).fetchone()[0]
    return position > newest


def _cursor_by(rows: sqlite3.Connection, position: int, mark: int | None) -> str:
    """Behind the newest sample that had arrived at a time, but no later than a position."""
    begin, end = 0, 1 + rows.execute("SELECT ifnull(max(position), 0) FROM samples").fetchone()[0]
    end = min(end, position + 1)
    while begin < end:  # positions rise with the times of arrival
        middle = (begin + end) // 2
        found = _arrival(rows, middle)
        if found and (mark is None or found[1] <= mark):
            begin = found[0] + 1
        else:
            end = middle
    last = rows.execute(
        "SELECT position, arrived_at_ns FROM samples WHERE position < ?"
        " ORDER BY position DESC LIMIT 1",
        (begin,),
    ).fetchone()
    return f"{last[0]}:{last[1]}" if last else ""


def _arrival(rows: sqlite3.Connection, position: int) -> tuple[int, int] | None:
    """Position and time of arrival of the first sample from a position on."""
    found: tuple[int, int] | None = rows.execute(
        "SELECT position, arrived_at_ns FROM samples WHERE position >= ? ORDER BY position LIMIT 1",
        (position,),
    ).fetchone()
    return found


def _are_sound(samples: Sequence[tuple[Any, ...]]) -> bool:
    """Whether all columns of all samples are of the right type and size."""
    _, times, predictions, sensors, _ = zip(*samples, strict=True)
    return (
        {*map(type, times), *map(type, predictions)} == {int}
        and {*map(type, sensors)} == {bytes}
        and {*map(len, sensors)} == {SENSORS.size}
    )


def _is_sound(row: tuple[Any, ...]) -> bool:
    return _are_sound([row])


def _said(rows: sqlite3.Connection, behind: int, end: int) -> dict[int, str]:
    return dict(
        rows.execute(
            "SELECT position, text FROM explanations WHERE position > ? AND position <= ?",
            (behind, end),
        )
    )


# In one question for both, SQLite would look at each sample of the line.
_ENDS = """
    SELECT ifnull((SELECT min(position) FROM samples WHERE line = ?1), 1) - 1,
        ifnull((SELECT max(position) FROM samples WHERE line = ?1), 0)
"""


class Walk:
    """Goes through one line's samples of a span, a part in each step."""

    def __init__(self, agent_id: str, span: Span, behind: int) -> None:
        self._agent_id = agent_id
        self._span = span
        self._behind = behind
        self._line: int | None = None
        self._times: list[int] = []
        self._predictions: list[int] = []
        self._sensors: list[bytes] = []
        self.is_done = False

    def __len__(self) -> int:
        return len(self._times)

    def step(self, rows: sqlite3.Connection) -> None:
        """Read the next part. Raises sqlite3.Error."""
        if self._line is None:
            self._line = line_number(rows, self._agent_id)
            self._behind = max(self._behind, _behind(rows, self._line, self._span))
        found = rows.execute(
            "SELECT sampled_at_ns, prediction, sensors, arrived_at_ns, position FROM samples"
            " WHERE line = ? AND position > ? ORDER BY position LIMIT ?",
            (self._line, self._behind, CHUNK),
        ).fetchall()
        end_ns = self._span.until_ns + _DISORDER_NS
        self.is_done = len(found) < CHUNK or all(
            _order_ns(row[0], row[3]) >= end_ns for row in found
        )
        if found:
            self._behind = found[-1][-1]
        since_ns, until_ns = self._span.since_ns, self._span.until_ns
        for at_ns, prediction, sensors, *_ in found:
            if since_ns <= at_ns < until_ns:
                self._times.append(at_ns)
                self._predictions.append(prediction)
                self._sensors.append(sensors)

    def strip(self) -> Strip:
        """What was found."""
        return Strip(self._agent_id, self._times, self._predictions, _values(self._sensors))


def line_number(rows: sqlite3.Connection, agent_id: str) -> int:
    """Of an agent's line; 0: it has none."""
    row = rows.execute("SELECT line FROM lines WHERE agent_id = ?", (agent_id,)).fetchone()
    return row[0] if row else 0


def _behind(rows: sqlite3.Connection, line: int, span: Span) -> int:
    """A position behind which the samples of a span lie: all, but for a short disorder.

    Looks at records at equal distances, again and again: a clock that was wrong for a while puts
    the times out of order, which a bisection would not survive.
    """
    begin: int
    end: int
    begin, end = rows.execute(_ENDS, (line,)).fetchone()
    near = Span(span.since_ns - _DISORDER_NS, span.until_ns + _DISORDER_NS)
    while end - begin > CHUNK:
        step = (end - begin) // _PROBES
        looked = {each: _times(rows, line, each) for each in range(begin + step, end, step)}
        within = [each for each, (at_ns, _) in looked.items() if at_ns in near]
        behind = [each for each, times in looked.items() if _order_ns(*times) >= near.since_ns]
        end = next(iter(within or behind), end)
        begin = max((each for each in looked if each < end), default=begin)
    return begin


def _times(rows: sqlite3.Connection, line: int, position: int) -> tuple[int, int]:
    """When the last sample up to a position was taken, and when it arrived."""
    found = rows.execute(
        "SELECT sampled_at_ns, arrived_at_ns FROM samples"
        " WHERE line = ? AND position <= ? ORDER BY position DESC LIMIT 1",
        (line, position),
    ).fetchone()
    return found or (0, 0)


def _order_ns(sampled_at_ns: int, arrived_at_ns: int) -> int:
    """By what records are nearly in order: the time of sampling, where that is not absurd."""
    return sampled_at_ns if sampled_at_ns - arrived_at_ns < _AHEAD_NS else arrived_at_ns


def _values(sensors: Sequence[bytes]) -> Sequence[Values]:
    try:
        if {*map(len, sensors)} - {SENSORS.size}:
            raise DamagedError("a sample is damaged: it has not four values")
        return [*SENSORS.iter_unpack(b"".join(sensors))]
    except (struct.error, TypeError) as error:
        raise DamagedError(f"a sample is damaged: {error}") from error
