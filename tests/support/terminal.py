"""A terminal that a test looks at: what is written to it, as a person would see it."""

import fcntl
import os
import pty
import struct
import termios

import pyte


class Terminal:
    """A stream at a terminal of this size, which can change. Close it at the end."""

    encoding = "utf-8"

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self._master, self._slave = pty.openpty()
        self._screen = pyte.Screen(columns, rows)
        self._screen.set_mode(pyte.modes.LNM)  # a terminal's driver makes CR LF of LF
        self._parser = pyte.Stream(self._screen)
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        self._screen.resize(rows, columns)

    def write(self, text: str) -> int:
        self._parser.feed(text)
        return len(text)

    def flush(self) -> None:
        pass

    def fileno(self) -> int:
        return self._slave

    def isatty(self) -> bool:
        return True

    def close(self) -> None:
        os.close(self._master)
        os.close(self._slave)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def colours(self, line: int) -> set[str]:
        """Of the characters in this line that can be seen."""
        cells = self._screen.buffer[line].values()
        return {cell.fg for cell in cells if not cell.data.isspace()}


class Screen:
    """What a terminal of this size shows of a program's output."""

    def __init__(self, columns: int, rows: int) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._parser = pyte.ByteStream(self._screen)

    def feed(self, output: bytes) -> None:
        self._parser.feed(output)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]
