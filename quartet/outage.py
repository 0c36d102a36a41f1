"""Something that stops working: logged once when it starts, and once when it ends."""

import logging
import time

from quartet.clock import Clock


class Outage:
    """Logs the first failure, its repeats at DEBUG, and the recovery with the outage's length.

    One thread at a time. `failures` counts all of them, for metrics.
    """

    def __init__(
        self, log: logging.Logger, clock: Clock = time, *, level: int = logging.ERROR
    ) -> None:
        self._log = log
        self._clock = clock
        self._level = level
        self._since_s: float | None = None
        self._said = False
        self.failures = 0

    @property
    def is_on(self) -> bool:
        """Whether the latest attempt failed."""
        return self._since_s is not None

    def failed(self, message: str, *args: object) -> None:
        """Note a failure. The message says what failed, why, and what happens now."""
        self.begin()
        self._log.log(logging.DEBUG if self._said else self._level, message, *args)
        self._said = True

    def begin(self) -> None:
        """Note a failure that the caller logs: the outage has begun, if it had not."""
        self.failures += 1
        if self._since_s is None:
            self._since_s = self._clock.monotonic()

    def ended(self, message: str, *args: object) -> None:
        """Note a success. After a failure, the message says what works again."""
        if self._since_s is not None:
            outage_s = self._clock.monotonic() - self._since_s
            self._since_s, self._said = None, False
            self._log.info(f"{message}, after %.1f s", *args, outage_s)
