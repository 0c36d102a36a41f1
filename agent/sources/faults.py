"""What goes wrong with readings: counted by kind, and said once an episode."""

import errno
import logging
from enum import StrEnum

from quartet.clock import Clock
from quartet.plural import counted

log = logging.getLogger(__name__)

# A fault that comes and goes is one episode until it has been away for so long:
# a loose wire must not fill the journal.
_QUIET_NS = 10_000_000_000

# Another program that reads at its own pace may not meet a reading for a while.
_QUIET_FOREIGN_NS = 600_000_000_000


class Fault(StrEnum):
    """Why a reading failed; of UNCHANGED the value is kept."""

    NO_ANSWER = "no answer"
    TIMEOUT = "timeout"
    BUSY = "bus busy"
    BUS_ERROR = "bus error"
    NO_DATA = "no data"
    FOREIGN = "another program"
    LOST = "configuration lost"
    SLOW = "conversion late"
    SATURATED = "saturated"
    OUT_OF_RANGE = "out of range"
    UNCHANGED = "unchanged"

    @property
    def advice(self) -> str:
        """What to do about it."""
        return _ADVICE[self]


_ADVICE = {
    Fault.NO_ANSWER: "check the wiring and the supply of the chip",
    Fault.TIMEOUT: "something blocks the bus: check SDA, SCL and the other devices on it",
    Fault.BUSY: "a kernel driver uses the chip (dtoverlay=ads1115 is one), or"
    " another master the bus",
    Fault.BUS_ERROR: "check the wiring, and 'dmesg' for what the kernel says",
    Fault.NO_DATA: "it acknowledges, but all bits are the same: SDA is held at one level, or the"
    " chip has no supply",
    Fault.FOREIGN: "it uses the chip at the same time, which costs readings: stop it"
    " ('sudo fuser -v /dev/i2c-1' lists the programs on bus 1)",
    Fault.LOST: "its supply is weak, or another program writes to it; if this"
    " continues, replace the chip",
    Fault.SLOW: "the chip's oscillator is more than 10 % slow: replace the chip",
    Fault.SATURATED: "the input is beyond its range: choose a lower gain, or check the sensor",
    Fault.OUT_OF_RANGE: "outside min..max: check the sensor and its wire",
    Fault.UNCHANGED: "the same code for 10 minutes: check that a sensor is connected",
}

# What the Pi's driver says of a NACK. macOS has no such name, and runs a virtual chip.
NACK_ERRNO: int = getattr(errno, "EREMOTEIO", 121)

_BY_ERRNO = {
    NACK_ERRNO: Fault.NO_ANSWER,
    errno.ENXIO: Fault.NO_ANSWER,  # what other drivers do
    errno.ETIMEDOUT: Fault.TIMEOUT,
    errno.EBUSY: Fault.BUSY,
    errno.EAGAIN: Fault.BUSY,  # another master won the bus
}


class ReadingError(Exception):
    """One reading failed; the next may not."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


def fault_of(error: OSError) -> Fault:
    """What an error of the bus means."""
    return _BY_ERRNO.get(error.errno or 0, Fault.BUS_ERROR)


class _Episode:
    """Not an Outage: it outlives readings that succeed, and lasts until its latest failure."""

    def __init__(self, now_ns: int) -> None:
        self.since_ns = now_ns
        self.last_ns = now_ns
        self.readings = 0


class FaultLog:
    """Counts each failed reading; says when an episode begins and ends. Bus thread.

    `counts` has all kinds from the start, so that any thread may read it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._episodes: dict[tuple[str, Fault], _Episode] = {}
        self.counts: dict[str, int] = dict.fromkeys(Fault, 0)
        self.trouble = ""

    def note(self, what: str, fault: Fault, seen: str = "") -> None:
        """Count a failed reading of a sensor, or of the chip as a whole; `seen` tells of it."""
        now_ns = self._clock.monotonic_ns()
        self.counts[fault] += 1
        episode = self._episodes.get((what, fault))
        if episode is None:
            log.warning("%s: %s%s: %s", what, fault, seen and f" ({seen})", fault.advice)
            episode = self._episodes[what, fault] = _Episode(now_ns)
            self._tell_trouble()
        episode.last_ns = now_ns
        episode.readings += 1

    def end_episodes(self) -> None:
        """End the episodes of faults that have been away for long enough."""
        now_ns = self._clock.monotonic_ns()
        for key, episode in list(self._episodes.items()):
            _, fault = key
            quiet_ns = _QUIET_FOREIGN_NS if fault is Fault.FOREIGN else _QUIET_NS
            if now_ns - episode.last_ns < quiet_ns:
                continue
            del self._episodes[key]
            self._tell_trouble()
            log.info(
                "%s: '%s' is over after %.1f s (%s)",
                *key,
                (episode.last_ns - episode.since_ns) / 1e9,
                counted(episode.readings, "reading"),
            )

    def _tell_trouble(self) -> None:
        self.trouble = ", ".join(f"{what}: {fault}" for what, fault in self._episodes)
