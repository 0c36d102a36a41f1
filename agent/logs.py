"""Where log entries go: to journald with their fields, or to stderr as lines."""

import functools
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from agent.errors import SinkError
from quartet.distribution import sees_debian_packages, to_install
from quartet.foreign import shown
from quartet.journal import SYSLOG_PRIORITY, LineFormatter, PriorityFormatter, under_systemd

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Direct:
    """A way past the logging of Python, which costs more than an entry. By default, none."""

    send_fields: Callable[..., None] | None = None
    """Send an entry to journald: its fields, each as NAME=VALUE on one line. OSError."""
    print_line: Callable[[int, str], None] | None = None
    """Print an entry as a line: its level, and a text that needs no escape. OSError, ValueError."""


def set_up(level: str, *, to_journal: bool) -> Direct:
    """Send all log entries of this process to journald, or else to stderr.

    With `to_journal` SinkError where journald cannot be written to. Under
    systemd without its Python library, entries go to the journal as lines,
    without their fields, and this is said.
    """
    root = logging.getLogger()
    set_level(level)
    if to_journal:
        root.addHandler(journal := JournalHandler())
        return Direct(send_fields=journal.send_fields)
    root.addHandler(StderrLines())
    if under_systemd():
        try:
            handler = JournalHandler()
        except SinkError as error:
            root.handlers[0].setFormatter(PriorityFormatter())
            log.warning("%s; until then predictions go to the journal without fields", error)
            return Direct(print_line=print_with_priority)
        root.handlers[:] = [handler]
        return Direct(send_fields=handler.send_fields)
    return Direct(print_line=print_with_time)


def set_level(level: str) -> None:
    """Log from this level of severity on."""
    logging.getLogger().setLevel(level.upper())


class JournalHandler(logging.Handler):
    """Sends entries to journald, with the fields in a record's `journal_fields`.

    An entry that journald does not take goes to stderr. Not the library's own
    handler: that adds the raw arguments of every log call.
    """

    def __init__(self) -> None:
        super().__init__()
        try:
            # Optional, and absent from a laptop.
            from systemd.journal import send, sendv  # noqa: PLC0415
        except ImportError as error:
            remedy = (
                "run 'apt install python3-systemd' and use a virtual environment with"
                " --system-site-packages"
                if sees_debian_packages()
                else f"{to_install('journal')} (it is compiled, and needs libsystemd-dev)"
            )
            raise SinkError(f"no systemd library for this Python: {remedy}") from error
        self.setFormatter(LineFormatter())
        self._send = send
        self.send_fields: Callable[..., None] = sendv
        """Send an entry of fields that are ready, as in Direct."""
        self._otherwise = StderrLines()

    def emit(self, record: logging.LogRecord) -> None:
        """Send one entry."""
        fields: dict[str, str] = getattr(record, "journal_fields", {})
        try:
            self._send(
                self.format(record),
                PRIORITY=str(SYSLOG_PRIORITY.get(record.levelno, 6)),
                SYSLOG_IDENTIFIER="agent",
                LOGGER=record.name,
                CODE_FILE=record.pathname,
                CODE_LINE=record.lineno,
                CODE_FUNC=record.funcName,
                **{name: shown(value) for name, value in fields.items()},
            )
        except OSError:
            self._otherwise.emit(record)


class StderrLines(logging.Handler):
    """Prints entries to whatever sys.stderr is at the time: a live view may stand in for it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(LineFormatter("%(asctime)s %(levelname)-7s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        try:
            _print(self.format(record))
        except (OSError, ValueError):
            self.handleError(record)


def _print(text: str) -> None:
    """Print a line with one write, so that no other program's output gets into it."""
    print(f"{text}\n", end="", file=sys.stderr, flush=True)


def print_with_time(level: int, text: str) -> None:
    """The line of StderrLines, for an entry of now."""
    seconds, ns = divmod(time.time_ns(), 10**9)
    name = logging.getLevelName(level)
    _print(f"{_second(seconds)},{ns // 10**6:03} {name:<7} {text}")


def print_with_priority(level: int, text: str) -> None:
    """The line of PriorityFormatter."""
    _print(f"<{SYSLOG_PRIORITY[level]}>{text}")


@functools.lru_cache(1)
def _second(seconds: int) -> str:
    """A second of Unix time, in local time as logging has it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
