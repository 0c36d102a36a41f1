"""A command of a program: run, with its error as one line and its end as an exit code."""

import logging
import os
import sys
from collections.abc import Callable
from io import TextIOWrapper

from quartet.errors import QuartetError, SettingsError
from quartet.journal import LineFormatter


def run(program: str, command: Callable[[], int], *, platform: str = sys.platform) -> int:
    """The exit code: the command's own; 1 failed, 2 wrong use or configuration (nothing started).

    A QuartetError is one line on stderr, without a traceback. Main thread only.
    """
    if platform == "win32":
        print(
            f"{program}: Windows is not supported, as it has no POSIX file locks: use Linux or"
            " macOS, or WSL on this computer",
            file=sys.stderr,
        )
        return 2
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and not _takes_all(stream):
            stream.reconfigure(errors="backslashreplace")  # a terminal may know ASCII alone
    if logging.lastResort:  # what is logged by a command that sets up no log
        logging.lastResort.setFormatter(LineFormatter())
    try:
        code = command()
        print(end="", flush=True)
    except QuartetError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 1
    except KeyboardInterrupt:
        return 1
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _takes_all(stream: TextIOWrapper) -> bool:
    """Whether it can write each text; in the locale C, Python lets through no more than bytes."""
    return stream.errors != "strict" and "utf" in stream.encoding.lower()
