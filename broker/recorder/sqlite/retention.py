"""Deletes what is too old or too much, from the old end and in small steps."""

import json
import sqlite3
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.trust import ClockTrust
from quartet.clock import Clock
from quartet.database import transaction

# A transaction of some milliseconds, so that a commit behind it hardly waits.
STEP_ROWS = 500

# To ask for the size costs little.
_LOOK_S = 1.0

# Ages are counted in days. And where all that is left must stay, it will for a while.
_SWEEP_S = 600.0

_DAY_NS = 86_400 * 10**9


@dataclass(slots=True)
class _Sweep:
    """A walk over the samples from the oldest on."""

    by_age: bool
    position: int
    floors: dict[int, int]
    """By line, the last position that may go. It only rises: what was right stays safe."""


class Retention:
    """Prunes samples; never those that a line's black box would be rebuilt from.

    Samples lie in the order of arrival. So behind one that is young none is old, whatever its
    stamp says: a clock that was wrong for a while costs no history.

    One thread at a time; step() raises sqlite3.Error.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        keeping: Keeping,
        clock: Clock,
        needed_from: Callable[[int], int],
    ) -> None:
        self._connection = connection
        self._keeping = keeping
        self._clock = clock
        self._needed_from = needed_from
        self._trust = ClockTrust(clock)
        self._sweep: _Sweep | None = None
        self._look_at_s = self._size_sweep_at_s = self._age_sweep_at_s = clock.monotonic()

    def step(self, most: int = STEP_ROWS) -> bool:
        """Look at so many samples, if something is due; whether there is more to do at once."""
        if self._sweep is None and self._clock.monotonic() >= self._look_at_s:
            self._look_at_s = self._clock.monotonic() + _LOOK_S
            self._begin()
        if self._sweep:
            self._advance(self._sweep, most)
        return self._sweep is not None

    def _begin(self) -> None:
        """Begin the sweep that is due, if one is."""
        now_s = self._clock.monotonic()
        trusted = self._trust.holds()
        if now_s >= self._size_sweep_at_s and self._is_too_large():
            self._size_sweep_at_s = now_s + _SWEEP_S
            self._sweep = _Sweep(by_age=False, position=0, floors={})
        elif now_s >= self._age_sweep_at_s and trusted:
            self._age_sweep_at_s = now_s + _SWEEP_S
            self._sweep = _Sweep(by_age=True, position=0, floors={})

    def _advance(self, sweep: _Sweep, most: int) -> None:
        """Delete what may go of the next samples; end the sweep where nothing more is due."""
        if sweep.by_age and not self._trust.holds():
            self._sweep = None
            return
        if not sweep.by_age and not self._is_too_large():
            self._size_sweep_at_s = self._look_at_s  # it helped, and will again
            self._sweep = None
            return
        rows = self._connection.execute(
            "SELECT position, line, arrived_at_ns FROM samples WHERE position > ?"
            " ORDER BY position LIMIT ?",
            (sweep.position, most),
        ).fetchall()
        due, ended = len(rows), not rows
        if sweep.by_age:
            due, ended = self._old([arrived_at_ns for _, _, arrived_at_ns in rows])
        gone = [at for at, line, _ in rows[:due] if at <= self._floor(sweep, line)]
        if gone:
            with transaction(self._connection):
                for table in ("samples", "explanations"):
                    self._connection.execute(
                        f"DELETE FROM {table} WHERE position IN (SELECT value FROM json_each(?))",  # noqa: S608
                        (json.dumps(gone),),
                    )
                # Nothing can be replayed on top of a state whose next samples are gone.
                self._connection.executemany(
                    "DELETE FROM snapshots WHERE line = ? AND position < ?",
                    {
                        line: (line, at)
                        for at, line, _ in rows[:due]
                        if at <= self._floor(sweep, line)
                    }.values(),
                )
        if ended:
            self._sweep = None
        else:
            sweep.position = rows[-1][0]

    def _old(self, stamps: Sequence[int]) -> tuple[int, bool]:
        """How many samples lie up to the last that is old, and whether a young one follows.

        A stamp of the future tells nothing: a sample is as old as those behind it.
        """
        now_ns = self._clock.time_ns()
        oldest_ns = now_ns - int(self._keeping.max_age_days * _DAY_NS)
        old = 0
        for number, stamp_ns in enumerate(stamps, 1):
            if stamp_ns < oldest_ns:
                old = number
            elif stamp_ns <= now_ns:
                return old, True
        return old, not stamps

    def _is_too_large(self) -> bool:
        used, free, page_bytes = (
            self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return bool((used - free) * page_bytes > self._keeping.max_bytes)

    def _floor(self, sweep: _Sweep, line: int) -> int:
        if line not in sweep.floors:
            row = self._connection.execute(
                "SELECT agent_id FROM lines WHERE line = ?", (line,)
            ).fetchone()
            # A plain peer's ends with its stream.
            is_agents = row is not None and row[0] is not None
            sweep.floors[line] = self._needed_from(line) if is_agents else sys.maxsize
        return sweep.floors[line]
