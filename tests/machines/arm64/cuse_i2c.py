"""A real /dev/i2c-1 in the machine: the virtual ADS1115 behind the kernel's own calls, by CUSE.

python3 cuse_i2c.py                  serve it, until SIGTERM
python3 cuse_i2c.py unplug           the chip is off the bus: no address answers
python3 cuse_i2c.py plug             it is back, with its power
python3 cuse_i2c.py nack N           the next N transfers are not acknowledged
python3 cuse_i2c.py timeout N        they time out
python3 cuse_i2c.py volts A0 A1 A2 A3

Numbers are those of linux/i2c.h, linux/i2c-dev.h and linux/fuse.h (protocol 7.31). The device is
registered as the kernel's i2c-dev is, 89 by the name i2c, so that systemd's char-i2c means it.
One thing is unlike a real bus: the kernel ends a write() of no bytes by itself, as if acknowledged.
"""

import errno
import io
import os
import select
import shutil
import socket
import struct
import sys
import time
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

from agent.sources.virtual.chip import VirtualAds1115
from quartet.notify import Notifier

DEVICE = Path("/dev/i2c-1")
CONTROL = Path("/run/i2c-1.control")
ADDRESS = 0x48

# What `limits`, the broker's default, finds in order.
QUIET_V = (0.1, 0.1, 0.1, 0.1)

MAJOR, MINOR, NAME = 89, 1, "i2c"
UNRESTRICTED_IOCTL = 1
IOCTL_RETRY = 1 << 2

# Of one read or write; more than any chip has. An I2C_RDWR has 42 of them at the most.
MOST_BYTES = 8192
MOST_MESSAGES = 42
MOST_REQUEST_BYTES = (1 + MOST_MESSAGES) * MOST_BYTES
READS = 1

# Plain messages; of SMBus what i2cdetect needs: write quick, read byte.
FUNCTIONALITY = 0x1 | 0x10000 | 0x20000
QUICK, BYTE = 0, 1


class Opcode(IntEnum):
    """What the kernel asks of a character device."""

    OPEN = 14
    READ = 15
    WRITE = 16
    RELEASE = 18
    INTERRUPT = 36
    IOCTL = 39
    CUSE_INIT = 4096


class Call(IntEnum):
    """What a program asks of a bus."""

    SLAVE = 0x703
    FUNCS = 0x705
    SLAVE_FORCE = 0x706
    RDWR = 0x707
    SMBUS = 0x720


Areas = list[tuple[int, int]]
"""Some of a program's memory: addresses and lengths."""


class Bus:
    """A bus with one chip, and what befalls it. Each transfer raises OSError where none answers."""

    def __init__(self) -> None:
        self._volts = list(QUIET_V)
        self._chip = VirtualAds1115([self._pin(number) for number in range(4)])
        self._is_plugged = True
        self._failures: list[int] = []

    def transfer(self, messages: list[tuple[int, bytes | int]]) -> bytes:
        """Write each message's bytes, or read as many as it says; all that was read."""
        if self._failures:
            raise _error(self._failures.pop())
        read = b""
        for address, content in messages:
            if not self._is_plugged or address != ADDRESS:
                raise _error(errno.EREMOTEIO)
            if isinstance(content, int):
                read += self._chip.read(content, time.monotonic_ns())
            else:
                self._chip.write(content, time.monotonic_ns())
        return read

    def obey(self, command: str) -> None:
        """Do what this module's docstring lists. ValueError where it does not list it."""
        match command.split():
            case ["unplug"]:
                self._is_plugged = False
            case ["plug"]:
                self._is_plugged = True
                self._chip.reset()
            case ["nack", count]:
                self._failures = [errno.EREMOTEIO] * int(count)
            case ["timeout", count]:
                self._failures = [errno.ETIMEDOUT] * int(count)
            case ["volts", a0, a1, a2, a3]:
                self._volts[:] = map(float, (a0, a1, a2, a3))
            case _:
                raise ValueError(f"not understood: {command}")

    def _pin(self, number: int) -> Callable[[int, float], float]:
        return lambda _at_ns, _held_v: self._volts[number]


class Device:
    """What the kernel asks of the device, answered with the bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._slaves: dict[int, int] = {}
        self._opened = 0
        self._answers = {
            Opcode.CUSE_INIT: self._init,
            Opcode.OPEN: self._open,
            Opcode.RELEASE: self._release,
            Opcode.READ: self._read,
            Opcode.WRITE: self._write,
            Opcode.IOCTL: self._ioctl,
        }

    def answer(self, request: bytes) -> bytes:
        """The reply to a request; nothing where it wants none."""
        _length, opcode, unique = struct.unpack_from("=IIQ", request)
        if opcode == Opcode.INTERRUPT:
            return b""  # each request is answered before the next is read
        code, body = 0, b""
        try:
            if opcode not in self._answers:
                raise _error(errno.ENOSYS)
            body = self._answers[opcode](request[40:])
        except OSError as error:
            code = error.errno or errno.EIO
        return struct.pack("=IiQ", 16 + len(body), -code, unique) + body

    def _init(self, _body: bytes) -> bytes:
        numbers = (7, 31, 0, UNRESTRICTED_IOCTL, MOST_BYTES, MOST_BYTES, MAJOR, MINOR)
        return struct.pack("=8I40x", *numbers) + f"DEVNAME={NAME}\0".encode()

    def _open(self, _body: bytes) -> bytes:
        self._opened += 1
        self._slaves[self._opened] = 0
        return struct.pack("=QII", self._opened, 0, 0)

    def _release(self, body: bytes) -> bytes:
        (handle,) = struct.unpack_from("=Q", body)
        del self._slaves[handle]
        return b""

    def _read(self, body: bytes) -> bytes:
        handle, _offset, size = struct.unpack_from("=QQI", body)
        return self._bus.transfer([(self._slaves[handle], size)])

    def _write(self, body: bytes) -> bytes:
        handle, _offset, size = struct.unpack_from("=QQI", body)
        self._bus.transfer([(self._slaves[handle], body[40 : 40 + size])])
        return struct.pack("=II", size, 0)

    def _ioctl(self, body: bytes) -> bytes:
        handle, _flags, call, argument, _in_size, room = struct.unpack_from("=QIIQII", body)
        known = body[32:]
        match call:
            case Call.SLAVE | Call.SLAVE_FORCE:
                self._slaves[handle] = argument
                return _done(b"")
            case Call.FUNCS if room:
                return _done(struct.pack("=Q", FUNCTIONALITY))
            case Call.FUNCS:
                return _retry([], [(argument, 8)])
            case Call.RDWR:
                return self._rdwr(argument, known, room)
            case Call.SMBUS:
                return self._smbus(self._slaves[handle], argument, known, room)
        raise _error(errno.ENOTTY)

    def _rdwr(self, argument: int, known: bytes, room: int) -> bytes:
        """Three steps: the call's own structure, its messages, their contents."""
        sources = [(argument, 16)]
        if len(known) < 16:
            return _retry(sources, [])
        array, count = struct.unpack_from("=QI", known)
        if count > MOST_MESSAGES:
            raise _error(errno.EINVAL)
        sources.append((array, 16 * count))
        if len(known) < (head := 16 + 16 * count):
            return _retry(sources, [])
        messages = list(struct.iter_unpack("=HHH2xQ", known[16:head]))
        targets = [(at, size) for _, flags, size, at in messages if size and flags & READS]
        sources += [(at, size) for _, flags, size, at in messages if size and not flags & READS]
        if len(known) < _size(sources) or room < _size(targets):
            return _retry(sources, targets)
        written = io.BytesIO(known[head:])
        return _done(
            self._bus.transfer(
                [
                    (address, size if flags & READS else written.read(size))
                    for address, flags, size, _ in messages
                ]
            )
        )

    def _smbus(self, slave: int, argument: int, known: bytes, room: int) -> bytes:
        sources = [(argument, 16)]
        if len(known) < 16:
            return _retry(sources, [])
        reads, _command, size, at = struct.unpack("=BB2xIQ", known)
        if size == QUICK:
            return _done(self._bus.transfer([(slave, b"")]))
        if size != BYTE or not reads:
            raise _error(errno.EOPNOTSUPP)
        if not room:
            return _retry(sources, [(at, 1)])
        return _done(self._bus.transfer([(slave, 1)]))


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def _size(areas: Areas) -> int:
    return sum(size for _, size in areas)


def _done(read: bytes) -> bytes:
    """The reply to a call that is done."""
    return struct.pack("=iIII", 0, 0, 0, 0) + read


def _retry(sources: Areas, targets: Areas) -> bytes:
    """The reply to a call that shall come again, with these of the program's memory."""
    areas = b"".join(struct.pack("=QQ", *area) for area in (*sources, *targets))
    return struct.pack("=iIII", 0, IOCTL_RETRY, len(sources), len(targets)) + areas


def serve() -> None:
    """Serve the device and its control, until a signal ends the process."""
    bus = Bus()
    device = Device(bus)
    cuse = os.open("/dev/cuse", os.O_RDWR)
    # The kernel has made the device when the write of its first answer returns.
    os.write(cuse, device.answer(os.read(cuse, MOST_BYTES)))
    made = Path("/dev", NAME)
    shutil.chown(made, "root", "i2c")
    made.chmod(0o660)
    made.rename(DEVICE)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        CONTROL.unlink(missing_ok=True)
        control.bind(str(CONTROL))
        control.listen()
        Notifier().ready()
        while True:
            ready, _, _ = select.select([cuse, control], [], [])
            if cuse in ready and (reply := device.answer(os.read(cuse, MOST_REQUEST_BYTES))):
                os.write(cuse, reply)
            if control in ready:
                obey(bus, control)


def obey(bus: Bus, control: socket.socket) -> None:
    """Take a command, and answer why it is not obeyed, or nothing."""
    peer, _ = control.accept()
    with peer:
        why = ""
        try:
            bus.obey(peer.recv(MOST_BYTES).decode())
        except ValueError as error:
            why = str(error)
        peer.sendall(why.encode())


def tell(command: str) -> str:
    """Have the device obey a command; why it did not, or nothing."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.connect(str(CONTROL))
        peer.sendall(command.encode())
        return peer.recv(MOST_BYTES).decode()


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(tell(" ".join(sys.argv[1:])) or None)
    serve()
