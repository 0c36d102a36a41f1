"""What the cold tier can do, as a state machine, and when it is tried again."""

import time
from enum import Enum, auto

from quartet.clock import Clock

# A disk that is full or read-only is tried again this often.
_RETRY_S = 5.0


class ColdState(Enum):
    """What the cold tier can do. Events are the methods of `Condition`.

               opened                  written
        UNMET --------> READABLE -----------------> WELL
                         ^   |  ^                  |   |
                         |   |  '------------------'   |
                  opened |   |         write_failed    |
                         |   | read_failed             | read_failed
                         |   v                         |
                        AWAY <-------------------------'

    displaced leads where write_failed does, and waits for nothing.
    read_failed leaves UNMET and AWAY as they are: the file could not be opened.
    write_failed leaves READABLE as it is, and written leaves WELL as it is.
    """

    UNMET = auto()
    """Not opened since the start: nobody knows what is in it, and newer samples are sent first."""
    READABLE = auto()
    """Open; the latest write failed, or there was none yet."""
    WELL = auto()
    """Open, and the latest write succeeded."""
    AWAY = auto()
    """Was open, and cannot be read now: no newer sample may be sent before those in it."""

    @property
    def is_open(self) -> bool:
        """Whether it can be read."""
        return self in (ColdState.READABLE, ColdState.WELL)


class Condition:
    """The state of the cold tier, and when it is tried again. Disk thread.

    Whether rows must be counted is no part of the state: a file is suspect for what it holds,
    and stays so through every state until its rows are counted.
    """

    def __init__(self, clock: Clock = time, retry_s: float = _RETRY_S) -> None:
        self._clock = clock
        self._retry_s = retry_s
        self._retry_at_s = clock.monotonic()
        self._state = ColdState.UNMET
        self._openings = 0

    @property
    def state(self) -> ColdState:
        """What the tier can do now."""
        return self._state

    @property
    def openings(self) -> int:
        """Number of times that the file was opened. A reader that knows fewer starts over."""
        return self._openings

    @property
    def is_due(self) -> bool:
        """Whether a write may be tried: after a failure, not before `retry_s` have passed."""
        return self._clock.monotonic() >= self._retry_at_s

    def opened(self) -> None:
        """The file is open. RuntimeError where it was open already."""
        if self._state.is_open:
            raise RuntimeError("the cold tier is open already")
        self._state = ColdState.READABLE
        self._openings += 1

    def written(self) -> None:
        """A write succeeded. RuntimeError where the file is not open."""
        self._need_open()
        self._state = ColdState.WELL
        self._retry_at_s = self._clock.monotonic()

    def write_failed(self) -> None:
        """A write failed, and the file can be read. RuntimeError where it is not open."""
        self._need_open()
        self._state = ColdState.READABLE
        self._retry_later()

    def displaced(self) -> None:
        """Its path does not lead to the file any more, which is open: it must be written soon."""
        self._need_open()
        self._state = ColdState.READABLE
        self._retry_at_s = self._clock.monotonic()

    def read_failed(self) -> None:
        """The file cannot be read, or cannot be opened, and is closed now."""
        if self._state.is_open:
            self._state = ColdState.AWAY
        self._retry_later()

    def _need_open(self) -> None:
        if not self._state.is_open:
            raise RuntimeError("the cold tier is not open")

    def _retry_later(self) -> None:
        self._retry_at_s = self._clock.monotonic() + self._retry_s
