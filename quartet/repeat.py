"""What is done again and again beside the work itself."""

import asyncio
import logging
from collections.abc import Callable

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
