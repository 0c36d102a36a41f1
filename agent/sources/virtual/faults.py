"""What befalls a virtual chip and its bus, by the clock."""

import errno
from collections.abc import Callable, Sequence

from agent.clock import WaitableClock
from agent.config.virtual import FaultKind, FaultSettings
from agent.sources.faults import NACK_ERRNO
from agent.sources.virtual.chip import VirtualAds1115
from agent.sources.virtual.reader import Reader

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
    processor until it is over. During `other_reader` another program reads the chip,
    at least once; while a wire is held low (`bus_low`), every address answers with zeros.
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
        self._free_ns = self._began_ns
        self.readers = [Reader(chip, self._next_of("other_reader"))]
        self.errno: int | None = None
        """What a transfer fails with now."""
        self.is_low = False
        """Whether the data wire is held low now."""

    def before_transfer(self) -> int:
        """Bring everything up to now, which is returned, after a stall where one is due."""
        self._stall()
        going_on = {fault.kind for fault in self._faults if self._ends_in_s(fault) > 0}
        self._chip.mux_stuck = "stuck_mux" in going_on
        self.is_low = "bus_low" in going_on
        self._chip.oscillator = (
            _SLOW_OSCILLATOR if "slow_oscillator" in going_on else self._oscillator
        )
        resets = sum(self._begun(fault) for fault in self._faults if fault.kind == "brown_out")
        if resets != self._resets:
            self._chip.reset()
            self._resets = resets
        self.errno = next((_ERRNO[kind] for kind in _ERRNO if kind in going_on), None)
        now_ns = self._clock.monotonic_ns()
        for reader in self.readers:
            reader.advance(self._free_ns, now_ns)
        return now_ns

    def after_transfer(self) -> None:
        """The bus is free; a stall may come before the transfer's result reaches its caller."""
        self._free_ns = self._clock.monotonic_ns()
        self._stall()

    def _stall(self) -> None:
        for fault in self._faults:
            if fault.kind == "stall" and (left_s := self._ends_in_s(fault)) > 0:
                self._clock.sleep_until(self._clock.monotonic_ns() + round(left_s * 1e9))

    def _next_of(self, kind: FaultKind) -> Callable[[int], int | None]:
        """When faults of a kind are on: the first moment from a given one."""

        def next_ns(at_ns: int) -> int | None:
            moments = [self._next_ns(fault, at_ns) for fault in self._faults if fault.kind == kind]
            return min((moment for moment in moments if moment is not None), default=None)

        return next_ns

    def _next_ns(self, fault: FaultSettings, at_ns: int) -> int | None:
        since_s = (at_ns - self._began_ns) / 1e9 - fault.after_s
        into_s = since_s % fault.every_s if fault.every_s and since_s > 0 else since_s
        if 0 <= into_s < fault.for_s:
            return at_ns
        if into_s < 0:
            return at_ns - round(into_s * 1e9)
        return at_ns + round((fault.every_s - into_s) * 1e9) if fault.every_s else None

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
