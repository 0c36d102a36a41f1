"""What is done again and again beside the work itself."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager

log = logging.getLogger(__name__)


async def repeat(call: Callable[[], None], every_s: float) -> None:
    """Call at once, and then each `every_s`; also when it fails once, which is logged.

    Else an alarm might stay on, or a stolen certificate good, without a word.
    """
    while True:
        try:
            call()
        except Exception:
            log.exception("internal error: please report it")
        await asyncio.sleep(every_s)


@asynccontextmanager
async def beside(
    works: Sequence[Coroutine[None, None, None]], stop_s: float
) -> AsyncIterator[None]:
    """Run all works while entered. Then each is cancelled, and left if it takes over `stop_s`."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=stop_s)
