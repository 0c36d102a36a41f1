"""What befalls a virtual chip and its bus, by the clock."""

import errno
from collections.abc import Sequence

from agent.clock import WaitableClock
from agent.config.virtual import FaultSettings
from agent.sources.faults import NACK_ERRNO
from agent.sources.virtual.chip import VirtualAds1115

_ERRNO = {
    "nack": NACK_ERRNO,
    "timeout": errno.ETIMEDOUT,
    "busy": errno.EBUSY,
    "brown_out": NACK_ERRNO,
}

# A conversion that takes a third longer than the data sheet allows.
_SLOW_OSCILLATOR = 0.7


class FaultSchedule:
    """Applies faults as they fall due: each before, during or after a transfer. One thread.

    `nack`, `timeout` and `busy` fail the transfers; in `brown_out` the chip has no
    power, and begins anew after it; `stuck_mux` keeps the input of the moment;
    `slow_oscillator` is below the data sheet; in `stall` the thread gets no
    processor until it is over.
    """

    def __init__(
        self, clock: WaitableClock, chip: VirtualAds1115, faults: Sequence[FaultSettings] = ()
    ) -> None:
        self._clock = clock
        self._chip = chip
        self._faults = faults
        self._began_ns = clock.monotonic_ns()
        self._oscillator = chip.oscillator
        self._resets = 0
        self.errno: int | None = None
        """What a transfer fails with now."""

    def before_transfer(self) -> int:
        """Bring everything up to now, which is returned, after a stall where one is due."""
        self._stall()
        going_on = {fault.kind for fault in self._faults if self._ends_in_s(fault) > 0}
        self._chip.mux_stuck = "stuck_mux" in going_on
        self._chip.oscillator = (
            _SLOW_OSCILLATOR if "slow_oscillator" in going_on else self._oscillator
        )
        resets = sum(self._begun(fault) for fault in self._faults if fault.kind == "brown_out")
        if resets != self._resets:
            self._chip.reset()
            self._resets = resets
        self.errno = next((_ERRNO[kind] for kind in _ERRNO if kind in going_on), None)
        return self._clock.monotonic_ns()

    def after_transfer(self) -> None:
        """A stall may come before the transfer's result reaches its caller."""
        self._stall()

    def _stall(self) -> None:
        for fault in self._faults:
            if fault.kind == "stall" and (left_s := self._ends_in_s(fault)) > 0:
                self._clock.sleep_until(self._clock.monotonic_ns() + round(left_s * 1e9))

    def _since_s(self, fault: FaultSettings) -> float:
        """Seconds since the fault was due first; negative before."""
        return (self._clock.monotonic_ns() - self._began_ns) / 1e9 - fault.after_s

    def _begun(self, fault: FaultSettings) -> int:
        """How often the fault has come so far."""
        since_s = self._since_s(fault)
        if since_s < 0:
            return 0
        return 1 + int(since_s // fault.every_s) if fault.every_s else 1

    def _ends_in_s(self, fault: FaultSettings) -> float:
        """Seconds until the fault is over; 0 or less while it is not on."""
        since_s = self._since_s(fault)
        if since_s < 0:
            return 0.0
        return fault.for_s - (since_s % fault.every_s if fault.every_s else since_s)
