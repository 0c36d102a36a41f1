"""A command of a program: run, with its error as one line and its end as an exit code."""

import logging
import sys
from collections.abc import Callable
from io import TextIOWrapper

from quartet.errors import QuartetError, SettingsError
from quartet.journal import LineFormatter
from quartet.stdout import checked


def run(program: str, command: Callable[[], int]) -> int:
    """The exit code: the command's own; 1 failed, 2 wrong use or configuration (nothing started).

    A QuartetError is one line on stderr, without a traceback; so is output that cannot be written.
    Main thread only.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and not _takes_all(stream):
            stream.reconfigure(errors="backslashreplace")  # a terminal may know ASCII alone
    if logging.lastResort:  # what is logged by a command that sets up no log
        logging.lastResort.setFormatter(LineFormatter())
    with checked():
        try:
            code = _code(program, command)
        except SystemExit:  # --help, or wrong use
            if failed := _code(program, _flush):
                return failed
            raise
        return _code(program, _flush) or code


def refuse_windows(platform: str) -> None:
    """Raise SettingsError on Windows."""
    if platform == "win32":
        raise SettingsError(
            "Windows is not supported, as it has no POSIX file locks: use Linux or macOS, or WSL"
            " on this computer"
        )


def _code(program: str, command: Callable[[], int]) -> int:
    try:
        return command()
    except QuartetError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 1
    except KeyboardInterrupt:
        return 1
    except BrokenPipeError:  # whoever reads has seen enough
        return 1


def _flush() -> int:
    if sys.stdout:
        sys.stdout.flush()
    return 0


def _takes_all(stream: TextIOWrapper) -> bool:
    """Whether it can write each text; in the locale C, Python lets through no more than bytes."""
    return stream.errors != "strict" and "utf" in stream.encoding.lower()
