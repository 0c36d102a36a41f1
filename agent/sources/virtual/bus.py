"""An I2C bus in software: takes its time for each transfer, and fails when it is told to."""

import os
from collections.abc import Mapping
from typing import Protocol

from agent.clock import WaitableClock
from agent.sources.faults import NACK_ERRNO
from agent.sources.virtual.faults import FaultSchedule


class Answering(Protocol):
    """What is at an address. Each moment is in ns, and none is before the last one."""

    def write(self, data: bytes, at_ns: int) -> None:
        """Take bytes."""
        ...

    def read(self, count: int, at_ns: int) -> bytes:
        """Give bytes."""
        ...


class _HeldLow:
    """A wire that is held low: it acknowledges all, and all bits that are read are 0."""

    def write(self, data: bytes, at_ns: int) -> None:
        """Nothing arrives."""

    def read(self, count: int, at_ns: int) -> bytes:  # noqa: ARG002 - at any moment
        """Nothing but zeros."""
        return bytes(count)


class VirtualI2C:
    """A peer of the library's bus (see agent.sources.bus.I2C), with chips at addresses.

    A transfer lasts as its bits do at `frequency_hz`, plus `overhead_ns` of the
    computer, half before and half after. One thread.
    """

    def __init__(
        self,
        clock: WaitableClock,
        chips: Mapping[int, Answering],
        faults: FaultSchedule,
        *,
        frequency_hz: float = 400_000.0,
        overhead_ns: int = 100_000,
    ) -> None:
        self._clock = clock
        self._chips = chips
        self._faults = faults
        self._bit_ns = 1e9 / frequency_hz
        self._overhead_ns = overhead_ns
        self._locked = False
        self.transfers = 0

    def try_lock(self) -> bool:
        """Take the bus; False where it is taken."""
        if self._locked:
            return False
        self._locked = True
        return True

    def unlock(self) -> None:
        """Give the bus back."""
        self._locked = False

    def deinit(self) -> None:
        """Nothing is held."""

    def writeto(
        self, address: int, buffer: bytes, *, start: int = 0, end: int | None = None
    ) -> None:
        """Write bytes."""
        data = bytes(buffer[start:end])
        begins_ns, chip = self._begin(address)
        at_ns = begins_ns + self._bits_ns(_write_bits(len(data)))
        chip.write(data, at_ns)
        self._end(at_ns)

    def readfrom_into(
        self, address: int, buffer: bytearray, *, start: int = 0, end: int | None = None
    ) -> None:
        """Read bytes."""
        count = len(buffer[start:end])
        at_ns, chip = self._begin(address)
        buffer[start:end] = chip.read(count, at_ns)
        self._end(at_ns + self._bits_ns(_read_bits(count)))

    def writeto_then_readfrom(
        self,
        address: int,
        out_buffer: bytes,
        in_buffer: bytearray,
        *,
        out_start: int = 0,
        out_end: int | None = None,
        in_start: int = 0,
        in_end: int | None = None,
    ) -> None:
        """Write bytes, then read some, with a repeated start between."""
        data = bytes(out_buffer[out_start:out_end])
        count = len(in_buffer[in_start:in_end])
        begins_ns, chip = self._begin(address)
        chip_ns = begins_ns + self._bits_ns(_write_bits(len(data)))
        chip.write(data, chip_ns)
        in_buffer[in_start:in_end] = chip.read(count, chip_ns)
        self._end(chip_ns + self._bits_ns(_read_bits(count)))

    def _begin(self, address: int) -> tuple[int, Answering]:
        """When the first bit goes out, and who answers; OSError where nobody does."""
        self.transfers += 1
        now_ns = self._faults.before_transfer()
        chip = _HeldLow() if self._faults.is_low else self._chips.get(address)
        if (code := self._faults.errno) is None and chip is None:
            code = NACK_ERRNO
        begins_ns = now_ns + self._overhead_ns // 2
        if code is not None or chip is None:
            self._end(begins_ns + self._bits_ns(_write_bits(0)))
            raise OSError(code, os.strerror(code or NACK_ERRNO))
        return begins_ns, chip

    def _end(self, last_bit_ns: int) -> None:
        self._clock.sleep_until(last_bit_ns + self._overhead_ns // 2)
        self._faults.after_transfer()

    def _bits_ns(self, count: int) -> int:
        return round(count * self._bit_ns)


def _write_bits(count: int) -> int:
    """Start, the address, the bytes with their acknowledges, stop."""
    return 9 * (1 + count) + 2


def _read_bits(count: int) -> int:
    """The same; after a write, its start is the repeated one."""
    return 9 * (1 + count) + 1
