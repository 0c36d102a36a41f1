"""How far a command is, in one line of a terminal."""

import time
from typing import TextIO

from quartet.clock import Clock

_EVERY_S = 0.2


class ProgressLine:
    """One line that is written again and again; nothing where `out` is no terminal."""

    def __init__(self, out: TextIO, clock: Clock = time) -> None:
        self._out = out if out.isatty() else None
        self._clock = clock
        self._next_s = 0.0

    @property
    def is_due(self) -> bool:
        """Whether a person would see something new."""
        return self._out is not None and self._clock.monotonic() >= self._next_s

    def show(self, text: str) -> None:
        """Replace the line."""
        if self._out:
            self._next_s = self._clock.monotonic() + _EVERY_S
            self._out.write(f"\r\x1b[K{text}")
            self._out.flush()

    def end(self) -> None:
        """Leave the line empty."""
        if self._out:
            self._out.write("\r\x1b[K")
            self._out.flush()
