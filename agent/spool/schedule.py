"""When the cold tier is written: rarely while all is well, soon where samples wait in RAM."""

import time
from collections import deque

from agent.config import SpoolSettings
from agent.spool.row import AFTER_ALL, SAMPLE_BYTES, Key
from quartet.clock import Clock

# Settled samples are deleted from the disk this often, or when this many have gathered.
_DELETE_EVERY_S = 1.0
_MOST_UNDELETED = 8192

# The accounts go to the disk this often in any case: a power cut then leaves less unknown.
_ACCOUNTS_EVERY_S = 3600.0

# The age of the oldest sample in RAM is known to within this part of spill_after_s.
_AGE_STEP = 0.25


class WriteSchedule:
    """Tells when a flush or a deletion is due, from what it is told. Disk thread."""

    def __init__(
        self,
        settings: SpoolSettings,
        *,
        clock: Clock = time,
        most_undeleted: int = _MOST_UNDELETED,
    ) -> None:
        self._spill_after_s = settings.spill_after_s
        self._most_hot_rows = settings.hot_max_bytes // SAMPLE_BYTES // 2
        self._most_undeleted = most_undeleted
        self._clock = clock
        self._marks: deque[tuple[float, Key]] = deque()  # since when samples from a key on wait
        self._flush_soon = False
        self._tried_at_s = self._flushed_at_s = clock.monotonic()

    def flush_is_due(self, hot_rows: int) -> bool:
        """Whether all samples must be carried over to the disk."""
        now_s = self._clock.monotonic()
        return (
            self._flush_soon
            or (bool(self._marks) and now_s - self._marks[0][0] >= self._spill_after_s)
            or hot_rows >= self._most_hot_rows
            or now_s - self._flushed_at_s >= _ACCOUNTS_EVERY_S
        )

    def delete_is_due(self, undeleted: int) -> bool:
        """Whether settled samples must be deleted on the disk."""
        return undeleted >= self._most_undeleted or (
            undeleted > 0 and self._clock.monotonic() - self._tried_at_s >= _DELETE_EVERY_S
        )

    def flush_soon(self) -> None:
        """A session began, or rows are missing: a flush is due whatever its age."""
        self._flush_soon = True

    def committed(self, first: Key) -> None:
        """Samples from this key on are in RAM from now on."""
        now_s, step_s = self._clock.monotonic(), _AGE_STEP * self._spill_after_s
        if not self._marks or now_s - self._marks[-1][0] >= step_s:
            self._marks.append((now_s, first))

    def settled_before(self, oldest: Key) -> None:
        """All samples before this key are settled; AFTER_ALL where none is kept."""
        if oldest == AFTER_ALL:
            self._marks.clear()
        while len(self._marks) > 1 and self._marks[1][1] <= oldest:
            self._marks.popleft()

    def tried(self) -> None:
        """A flush or a deletion is tried now."""
        self._tried_at_s = self._clock.monotonic()

    def flushed(self) -> None:
        """The flush that was tried has succeeded: nothing is in RAM alone."""
        self._flushed_at_s = self._tried_at_s
        self._flush_soon = False
        self._marks.clear()
