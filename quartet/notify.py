"""What systemd is told: how it goes, and that it lives. Silent where nobody listens."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator

from quartet.clock import Clock
from quartet.foreign import shown

# systemd takes no notice that is much longer.
_MOST_IN_STATUS = 1000

# How often systemd hears a status and, unless it wants it more often, a beat.
_PULSE_S = 1.0


class Notifier:
    """Speaks sd_notify(3) to $NOTIFY_SOCKET, where it is set. Any thread.

    Not by way of the systemd library, which a service may lack: a unit of
    Type=notify would then never be ready.
    """

    def __init__(self, clock: Clock = time) -> None:
        self._clock = clock
        path = os.environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        pid = os.environ.get("WATCHDOG_PID")
        ours = pid is None or pid == str(os.getpid())
        usec = os.environ.get("WATCHDOG_USEC", "0") if ours else "0"
        self.watchdog_s = int(usec) / 1e6 if usec.isascii() and usec.isdigit() else 0.0
        """How often systemd wants a beat, at least, in seconds; 0 = not at all."""

    @property
    def is_heard(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self._address)

    @property
    def pulse_s(self) -> float:
        """How often to beat, in seconds. systemd's advice is half of its limit; a third leaves
        room for a late loop.
        """
        return min(_PULSE_S, self.watchdog_s / 3 or _PULSE_S)

    def ready(self) -> None:
        """It does what it is there for."""
        self._send("READY=1")

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """It takes a changed configuration while entered, and is ready again after."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={self._clock.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            self.ready()

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={shown(text, _MOST_IN_STATUS)}")

    def stopping(self) -> None:
        """It is about to end."""
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        """It lives."""
        self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        # A notice that nobody takes must neither stop nor delay anything.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        ):
            sender.setblocking(False)
            sender.sendto(text.encode(), self._address)
