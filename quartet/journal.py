"""What journald makes of lines on stderr."""

import logging
import os

SYSLOG_PRIORITY = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
"""The priority of an entry, by the level of a record."""


class PriorityFormatter(logging.Formatter):
    """The message, with its priority before it as sd-daemon(3) has it; journald adds the time."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, or with a traceback several."""
        return f"<{SYSLOG_PRIORITY.get(record.levelno, 6)}>{super().format(record)}"


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
