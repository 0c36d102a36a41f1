"""The I2C bus: who may use it, and the library that does."""

from pathlib import Path
from typing import Protocol

from agent.errors import ChipInUseError, SourceError
from quartet.distribution import to_install
from quartet.errors import InUseError
from quartet.lock import FileLock, for_all_users, holder


class I2C(Protocol):
    """What the driver asks of a bus: the part of CircuitPython's busio.I2C that it uses.

    Each transfer raises OSError, by its errno, where the bus or the chip does not answer.
    """

    def try_lock(self) -> bool:
        """Take the bus; False where it is taken."""
        ...

    def unlock(self) -> None:
        """Give the bus back."""
        ...

    def deinit(self) -> None:
        """Let go of the device."""
        ...

    def writeto(
        self, address: int, buffer: bytes, *, start: int = 0, end: int | None = None
    ) -> None:
        """Write bytes."""
        ...

    def readfrom_into(
        self, address: int, buffer: bytearray, *, start: int = 0, end: int | None = None
    ) -> None:
        """Read bytes."""
        ...

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
        """Write bytes, then read some, without letting the bus go between."""
        ...


def open_bus(number: int) -> I2C:
    """/dev/i2c-NUMBER. SourceError, with the remedy, where it cannot be used."""
    try:
        from adafruit_extended_bus import ExtendedI2C  # noqa: PLC0415 - a virtual chip needs none
    except ImportError as error:
        raise SourceError(f"no driver for the bus ({error}): {to_install('pi')}") from error
    path = f"/dev/i2c-{number}"
    try:
        # The frequency is the device tree's to set; naming one only brings a warning.
        bus: I2C = ExtendedI2C(number, None)
    except ValueError:
        raise SourceError(
            f"{path} is missing: enable I2C with 'sudo raspi-config nonint do_i2c 0', or name"
            " another source.bus"
        ) from None
    except PermissionError:
        raise SourceError(
            f"{path} cannot be opened by this user: run 'sudo usermod -aG i2c $USER',"
            " then log in again"
        ) from None
    except OSError as error:
        raise SourceError(f"{path} cannot be opened: {error.strerror}") from error
    return bus


def owner_of_chip(bus: int, address: int) -> str:
    """The process that has a chip, or "unknown"; empty where none has it."""
    return holder(_lock_path(bus, address))


def lock_chip(bus: int, address: int) -> FileLock:
    """Own a chip: the kernel lets two programs mix their commands to it.

    SourceError, naming the process, where another one has it.
    """
    path = _lock_path(bus, address)
    try:
        return FileLock(path, shared=True)
    except InUseError as error:
        raise ChipInUseError(
            f"the ADS1115 at {address:#x} on bus {bus} is in use by process {error.owner}: stop"
            " that one first ('systemctl stop agent', if it is the service), or give each agent a"
            " chip of its own (source.bus, source.address)"
        ) from None
    except OSError as error:
        raise SourceError(f"{path} cannot be locked: {error.strerror}") from error


def _lock_path(bus: int, address: int) -> Path:
    return for_all_users(f"quartet-i2c-{bus}-{address:#x}")
