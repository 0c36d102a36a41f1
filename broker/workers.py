"""Where black boxes work: on the event loop, or in threads of their own where they are slow."""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar

from quartet.clock import Clock
from quartet.foreign import described

log = logging.getLogger(__name__)

Result = TypeVar("Result")

# In the pause between two slices the streams, and the recorder's thread, come to their turn: a
# commit takes less. What was no slice, but over at once, needs none: a thousand lines that come
# back together would wait for each other's.
_PAUSE_S = 0.002
_AT_ONCE_S = 0.001

# The reply deadline of an agent, after which it tries again.
_SLOW_S = 10.0


class Workers(Protocol):
    """Runs what black boxes have to do, in slices. Loop only."""

    async def run(
        self, call: Callable[[], Result], settle: Callable[[Result | None], None], whose: object
    ) -> Result:
        """Make a call that a stream waits for; its result, or what it raised.

        Then `settle` is called on the loop, with the result if there is one: also where whoever
        waits is cancelled meanwhile. `whose` names itself in the log, where the call takes long.
        """
        ...

    async def run_aside(self, call: Callable[[], Result]) -> Result:
        """Make a call for which streams should not have to wait."""
        ...


class Inline:
    """On the loop itself: for black boxes that answer in microseconds."""

    def __init__(self, clock: Clock = time, *, pause_s: float = _PAUSE_S) -> None:
        self._monotonic = clock.monotonic
        self._pause_s = pause_s
        self._aside = asyncio.Lock()

    async def run(
        self, call: Callable[[], Result], settle: Callable[[Result | None], None], _whose: object
    ) -> Result:
        """Make the call at once."""
        result: Result | None = None
        try:
            result = call()
            return result
        finally:
            settle(result)

    async def run_aside(self, call: Callable[[], Result]) -> Result:
        """Make the call, one at a time, and let the streams come to their turn."""
        async with self._aside:
            began_s = self._monotonic()
            result = call()
            at_once = self._monotonic() - began_s < _AT_ONCE_S
            await asyncio.sleep(0 if at_once else self._pause_s)
            return result


class Threads:
    """In `count` threads: for black boxes that are slow, and release the GIL meanwhile.

    Calls begin in their order. One that never ends keeps its thread; not the process, though.
    """

    def __init__(self, count: int, *, slow_s: float = _SLOW_S) -> None:
        self._slow_s = slow_s
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        for number in range(1, count + 1):
            name = f"predictor {number}"
            threading.Thread(target=self._serve, name=name, daemon=True).start()

    async def run(
        self, call: Callable[[], Result], settle: Callable[[Result | None], None], whose: object
    ) -> Result:
        """Have a thread make the call. It is made even where the caller is cancelled."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()
        watch = loop.call_later(self._slow_s, self._warn, whose)

        def end(result: Result | None, error: Exception | None) -> None:
            watch.cancel()
            settle(result)
            if done.done():  # whoever asked has left
                return
            if error:
                done.set_exception(error)
            else:
                done.set_result(result)  # type: ignore[arg-type] # None is then the result

        def work() -> None:
            result: Result | None = None
            raised: Exception | None = None
            try:
                result = call()
            except BaseException as error:  # whatever it is: somebody waits for it
                raised = _passable(error)
            with suppress(RuntimeError):  # the loop is closed: the broker has stopped
                loop.call_soon_threadsafe(end, result, raised)

        self._calls.put(work)
        return await done

    async def run_aside(self, call: Callable[[], Result]) -> Result:
        """As run(): a thread is aside in any case."""
        return await self.run(call, lambda _: None, "a predictor that is restored")

    def _warn(self, whose: object) -> None:
        log.warning(
            "%s: the predictor has not answered for %g s: while all threads are busy, no agent"
            " gets answers",
            *(whose, self._slow_s),
        )

    def _serve(self) -> None:
        while True:
            self._calls.get()()


def _passable(error: BaseException) -> Exception:
    """The error as a future can raise it, and end no more than who waits for it."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(f"the predictor raised {described(error)}")
