"""Log entries as lines that nobody can forge, and what journald makes of them on stderr."""

import copy
import logging
import os

from quartet.errors import QuartetError
from quartet.foreign import in_lines, shown

SYSLOG_PRIORITY = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
"""The priority of an entry, by the level of a record."""


# Of one argument of a message. Where it is foreign, it has a lower bound of its own.
_MOST_IN_ARGUMENT = 1000


class LineFormatter(logging.Formatter):
    """The last line of defence: whoever wrote what is in it, an entry cannot pass for two.

    An argument of a message is on one line, unless it is an error of ours, and escaped; the lines
    of a traceback are indented.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line, or with a traceback several."""
        arguments = record.args
        if arguments and isinstance(arguments, tuple):
            record = copy.copy(record)
            record.args = tuple(map(_safe, arguments))
        return in_lines(super().format(record))


class PriorityFormatter(LineFormatter):
    """The message, with its priority before it as sd-daemon(3) has it; journald adds the time."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, or with a traceback several."""
        return f"<{SYSLOG_PRIORITY.get(record.levelno, 6)}>{super().format(record)}"


def _safe(argument: object) -> object:
    """As `%s` or `%d` can take it."""
    if isinstance(argument, int | float | QuartetError):
        return argument
    return shown(argument, _MOST_IN_ARGUMENT)


def log_to_stderr(level: str) -> None:
    """Log from this level on: with times for a person, or as journald wants it."""
    form = "%(asctime)s %(levelname)-7s %(message)s"
    handler = logging.StreamHandler()
    handler.setFormatter(PriorityFormatter() if under_systemd() else LineFormatter(form))
    logging.basicConfig(level=level.upper(), handlers=[handler])


def under_systemd() -> bool:
    """Whether stdout or stderr of this process goes to the journal (systemd.exec(5))."""
    stream = os.environ.get("JOURNAL_STREAM")
    return stream is not None and stream in (_device_and_inode(1), _device_and_inode(2))


def _device_and_inode(descriptor: int) -> str:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return ""
    return f"{status.st_dev}:{status.st_ino}"
