"""Where black boxes run: on the event loop, or in threads of their own where they are slow."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")

# In the pause between two slices the streams, and the recorder's thread, come to their turn: a
# commit takes less. What was no slice, but over at once, needs none: a thousand lines that come
# back together would wait for each other's.
_PAUSE_S = 0.002
_AT_ONCE_S = 0.001


class Workers(Protocol):
    """Runs slices of what black boxes have to do. Loop only."""

    async def run(self, call: Callable[[], Result]) -> Result:
        """Make the call; its result, or what it raised."""
        ...


class Inline:
    """On the loop itself, one slice at a time: for black boxes that answer in microseconds."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def run(self, call: Callable[[], Result]) -> Result:
        """Make the call, and let the others come to their turn."""
        async with self._turn:
            began_s = time.monotonic()
            result = call()
            at_once = time.monotonic() - began_s < _AT_ONCE_S
            await asyncio.sleep(0 if at_once else _PAUSE_S)
            return result


class Threads:
    """In so many threads: for black boxes that are slow, and release the GIL meanwhile.

    Calls begin in their order. One that never ends keeps its thread; not the process, though.
    """

    def __init__(self, count: int) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        for number in range(1, count + 1):
            name = f"black box {number}"
            threading.Thread(target=self._serve, name=name, daemon=True).start()

    async def run(self, call: Callable[[], Result]) -> Result:
        """Have a thread make the call. It is made even where the caller is cancelled."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()

        def settle(of: Callable[[Any], None], outcome: object) -> None:
            if not done.done():  # whoever asked may have left
                of(outcome)

        def serve() -> None:
            of: Callable[[Any], None] = done.set_result
            outcome: object
            try:
                outcome = call()
            except BaseException as error:  # whatever it is: somebody waits for it
                of, outcome = done.set_exception, _passable(error)
            with suppress(RuntimeError):  # the loop is closed: the broker has stopped
                loop.call_soon_threadsafe(settle, of, outcome)

        self._calls.put(serve)
        return await done

    def _serve(self) -> None:
        while True:
            self._calls.get()()


def _passable(error: BaseException) -> Exception:
    """The error as a future can raise it, and end no more than who waits for it."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(f"the black box raised {type(error).__name__}: {error}")
