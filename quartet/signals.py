"""Signals on an event loop: those that end or reload, and those of a terminal's keys."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_signals(
    stop: Callable[[], None], reload: Callable[[], None] | None = None
) -> Iterator[None]:
    """Call on the running loop at each SIGINT or SIGTERM, and SIGHUP, while entered.

    Main thread only. SIGHUP keeps its meaning without `reload`, and where a terminal may hang
    up: it ends the process, or is ignored where the process was started so (`nohup`).
    """
    loop = asyncio.get_running_loop()
    calls = {signal.SIGINT: stop, signal.SIGTERM: stop}
    if reload and not _ends_with_its_terminal():
        calls[signal.SIGHUP] = reload
    before = {number: signal.getsignal(number) for number in calls}
    for number, call in calls.items():
        loop.add_signal_handler(number, call)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            if handler is not None:  # None: set by other code than Python's
                signal.signal(number, handler)


@contextmanager
def interruptible() -> Iterator[None]:
    """Have Ctrl-C end what blocks the running loop, while entered: a KeyboardInterrupt at once.

    Main thread only. Where it is ignored, it stays so.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def on_leaving(leave: Callable[[], None]) -> Iterator[None]:
    """Call on the running loop before Ctrl-Z or Ctrl-\\ do what they do, while entered.

    Main thread only. One that is ignored stays ignored.
    """
    loop = asyncio.get_running_loop()
    numbers = [
        number
        for number in (signal.SIGTSTP, signal.SIGQUIT)
        if signal.getsignal(number) is signal.SIG_DFL
    ]

    def left(number: signal.Signals) -> None:
        leave()
        loop.remove_signal_handler(number)
        signal.raise_signal(number)  # ends the process, or stops it until it is continued
        loop.add_signal_handler(number, left, number)

    for number in numbers:
        loop.add_signal_handler(number, left, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _ends_with_its_terminal() -> bool:
    return os.isatty(0) and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
