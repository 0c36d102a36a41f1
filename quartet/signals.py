"""SIGTERM, SIGINT and SIGHUP, on any platform that has an event loop."""

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

    Main thread only. Without `reload`, and for a process whose terminal may hang up,
    SIGHUP keeps its meaning.
    """
    loop = asyncio.get_running_loop()
    calls = {signal.SIGINT: stop, signal.SIGTERM: stop}
    if reload and hasattr(signal, "SIGHUP") and not os.isatty(0):
        calls[signal.SIGHUP] = reload
    for number, call in calls.items():
        try:
            loop.add_signal_handler(number, call)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_, call=call: loop.call_soon_threadsafe(call))
    try:
        yield
    finally:
        for number in calls:
            try:
                loop.remove_signal_handler(number)
            except NotImplementedError:
                signal.signal(number, signal.SIG_DFL)
