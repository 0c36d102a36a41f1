"""The Adafruit driver of the ADS1115, with a conversion's start and its result apart."""

import errno
import os

from adafruit_ads1x15.ads1115 import ADS1115

from agent.sources.bus import I2C
from agent.sources.channel import signed

_CONFIG = 1


class Converter(ADS1115):
    """A chip whose caller waits for each conversion. Bus thread.

    The driver's own read() asks the chip again and again whether it is ready,
    with no deadline, and its continuous mode gives the wrong channel. It has no
    public call for what is between: hence two of its private ones, which a test
    guards. Each method raises OSError where the bus or the chip does not answer.
    """

    def __init__(self, bus: I2C, address: int) -> None:
        """ValueError where nothing answers at this address."""
        super().__init__(bus, address=address)

    def start(self, config: int) -> None:
        """Write the config register; with the bit OS, a conversion begins."""
        self._write_register(_CONFIG, config)

    def config(self) -> int:
        """The config register; its bit OS is 0 while a conversion goes on."""
        register: int = self._read_register(_CONFIG)
        return register

    def config_again(self) -> int:
        """The config register, if nobody has used the chip since a start.

        The register that the chip's pointer names is read, and the pointer is not set:
        a start leaves it here, and whoever fetches a result moves it.
        """
        return int.from_bytes(self._fetched(2), "big")

    def code(self) -> int:
        """The result of the latest finished conversion, -32768 to 32767."""
        return signed(self.get_last_result())

    def read_bytes(self, count: int) -> None:
        """Read so many bytes from wherever the chip's pointer is, for the time that it takes."""
        self._fetched(count)

    def _fetched(self, count: int) -> bytearray:
        fetched = bytearray(count)
        try:
            with self.i2c_device as device:
                device.readinto(fetched)
        except TypeError:
            # Another master had the bus. The library does not look at what the kernel
            # said, and stumbles over a result that is not there.
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        return fetched
