"""Deletes what is too old or too much, from the old end and in small steps."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from broker.recorder.sqlite.census import Census
from broker.recorder.sqlite.erasing import Eraser
from broker.recorder.sqlite.events import delete_old
from broker.recorder.sqlite.floors import Floors
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.shrinking import Shrinking
from broker.recorder.trust import ClockTrust
from quartet.clock import Clock
from quartet.database import transaction

# A transaction of some milliseconds, so that a commit behind it hardly waits.
STEP_ROWS = 500

# To ask for the size costs little.
_LOOK_S = 1.0

# Ages are counted in days. And where all that is left must stay, it will for a while.
_SWEEP_S = 600.0

_DAY_NS = 86_400 * 10**9


class Retention:
    """Prunes samples, by age never those that a line's black box would be rebuilt from.

    Samples lie in the order of arrival. So behind one that is young none is old, whatever its
    stamp says: a clock that was wrong for a while costs no history. What goes where the store is
    too large, Shrinking decides.

    One thread at a time; step() raises sqlite3.Error.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        keeping: Keeping,
        clock: Clock,
        needed_from: Callable[[int], int],
        *,
        census: Census,
        eraser: Eraser,
        fail_lease: Callable[[str, str], None],
    ) -> None:
        self._connection = connection
        self._keeping = keeping
        self._clock = clock
        self._needed_from = needed_from
        self._census = census
        self._eraser = eraser
        self._shrinking = Shrinking(
            *(connection, keeping, clock, needed_from),
            census=census,
            eraser=eraser,
            fail_lease=fail_lease,
        )
        self._trust = ClockTrust(clock)
        self._sweep: Iterator[None] | None = None
        self._most = STEP_ROWS
        self._look_at_s = self._size_sweep_at_s = self._age_sweep_at_s = clock.monotonic()

    def step(self, most: int = STEP_ROWS) -> bool:
        """Look at so many samples, if something is due; whether there is more to do at once."""
        if self._census.load():
            return True
        if self._sweep is None and self._clock.monotonic() >= self._look_at_s:
            self._look_at_s = self._clock.monotonic() + _LOOK_S
            self._sweep = self._due()
        if self._sweep:
            self._most = most
            self._advance(self._sweep)
        return self._sweep is not None

    def _advance(self, sweep: Iterator[None]) -> None:
        self._sweep = None
        try:
            for _ in sweep:
                self._sweep = sweep
                break
        except sqlite3.Error:  # it is over, and begins again at the next look
            self._size_sweep_at_s = self._age_sweep_at_s = self._look_at_s
            raise

    def _due(self) -> Iterator[None] | None:
        """The sweep that is due, if one is."""
        now_s = self._clock.monotonic()
        trusted = self._trust.holds()
        if now_s >= self._size_sweep_at_s and self._shrinking.is_due():
            self._size_sweep_at_s = now_s + _SWEEP_S
            return self._shrink()
        if now_s >= self._age_sweep_at_s and trusted:
            self._age_sweep_at_s = now_s + _SWEEP_S
            return self._delete_old()
        return chain(
            self._shrinking.remove_rehearsals(lambda: self._most),
            self._shrinking.remove_empty(lambda: self._most),
        )

    def _shrink(self) -> Iterator[None]:
        yield from self._shrinking.run(lambda: self._most)
        if not self._shrinking.is_due():
            self._size_sweep_at_s = self._look_at_s  # it helped, and will again

    def _delete_old(self) -> Iterator[None]:
        """Delete the samples that are too old, while the clock is trusted."""
        floors = Floors(self._connection, self._needed_from)
        position, old_to, ended = 0, 0, False
        while not ended and self._trust.holds():
            rows = self._connection.execute(
                "SELECT position, line, arrived_at_ns FROM samples WHERE position > ?"
                " ORDER BY position LIMIT ?",
                (position, self._most),
            ).fetchall()
            due, ended = self._old([arrived_at_ns for _, _, arrived_at_ns in rows])
            old_to = rows[due - 1][0] if due else old_to
            gone = [(at, line) for at, line, _ in rows[:due] if at <= floors.of(line)]
            if gone:
                with transaction(self._connection):
                    self._eraser.delete(gone)
                self._census.dropped(Counter(line for _, line in gone))
            position = rows[-1][0] if rows else position
            yield
        yield from self._delete_old_asides(old_to, floors)
        event, ended = 0, False
        while not ended and self._trust.holds():
            with transaction(self._connection):
                event = delete_old(self._connection, self._oldest_ns(), event, self._most)
            ended = event == 0
            yield

    def _delete_old_asides(self, old_to: int, floors: Floors) -> Iterator[None]:
        """Delete the states of former black boxes up to the newest sample that is old.

        They are as old as the samples of their time, and go by the same rule: one that a line's
        black box would be rebuilt from stays.
        """
        aside, ended = 0, False
        while not ended and self._trust.holds():
            rows = self._connection.execute(
                "SELECT aside, line, position FROM asides WHERE aside > ? AND position <= ?"
                " ORDER BY aside LIMIT ?",
                (aside, old_to, self._most),
            ).fetchall()
            gone = [(each,) for each, line, at in rows if at < floors.of(line)]
            if gone:
                with transaction(self._connection):
                    self._connection.executemany("DELETE FROM asides WHERE aside = ?", gone)
            aside, ended = rows[-1][0] if rows else 0, len(rows) < self._most
            yield

    def _oldest_ns(self) -> int:
        """What arrived before that is old."""
        return self._clock.time_ns() - int(self._keeping.max_age_days * _DAY_NS)

    def _old(self, stamps: Sequence[int]) -> tuple[int, bool]:
        """How many samples lie up to the last that is old, and whether a young one follows.

        A stamp of the future tells nothing: a sample is as old as those behind it.
        """
        now_ns = self._clock.time_ns()
        oldest_ns = self._oldest_ns()
        old = 0
        for number, stamp_ns in enumerate(stamps, 1):
            if stamp_ns < oldest_ns:
                old = number
            elif stamp_ns <= now_ns:
                return old, True
        return old, not stamps
