"""Brings messages to one receiver, in order, and tries again until they are there or too old."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable

from broker.judged import S_NS, ago
from broker.notify.ages import Ages
from broker.notify.message import Message
from broker.notify.outbox import Outbox
from broker.notify.target import DeliveryError, Target
from quartet.clock import Clock
from quartet.errors import StoreError
from quartet.outage import Outage

log = logging.getLogger(__name__)

_FIRST_S, _MOST_S = 1.0, 300.0

# Of a pause, so that receivers that were away together are not asked together.
_SPREAD = 0.2


class Courier:
    """Loop only. `pause` waits so long, or until something is new."""

    def __init__(
        self,
        outbox: Outbox,
        target: Target,
        ages: Ages,
        *,
        max_age_h: float,
        clock: Clock = time,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._outbox = outbox
        self._target = target
        self._ages = ages
        self._max_age_ns = round(max_age_h * 3600 * S_NS)
        self._pause = pause
        self._outage = Outage(log, clock)
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        """There is a new message."""
        self._wanted.set()

    async def run(self) -> None:
        """Bring messages until cancelled."""
        failures = 0
        while True:
            self._wanted.clear()
            try:
                message = await self._outbox.next(self._target.name)
                if message is None:
                    await self._wanted.wait()
                    continue
                failures = 0 if await self._is_over(message) else failures + 1
            except StoreError as error:
                # The file may be there again at any moment, and new messages wait in memory.
                failures = 1
                self._outage.failed("%s: %s; trying again", self._target.name, error)
            if failures:
                pause_s = min(_MOST_S, _FIRST_S * 2 ** min(failures - 1, 10))
                await self._pause(pause_s * random.uniform(1 - _SPREAD, 1))  # noqa: S311 - a pause

    async def _is_over(self, message: Message) -> bool:
        """Send one message, or give it up. False: it is to be tried again. StoreError."""
        if self._ages.of(message) > self._max_age_ns:
            text = "%s: not sent, as it is older than %s: %s"
            log.warning(text, self._target.name, ago(self._max_age_ns), message.subject)
            await self._outbox.remove(self._target.name, message)
            return True
        try:
            said = await self._target.send(message)
        except DeliveryError as error:
            if not error.is_final:
                text = "%s: %s; trying again for up to %s, and later messages wait: %s"
                most = ago(self._max_age_ns)
                self._outage.failed(text, self._target.name, error, most, message.subject)
                return False
            said = f"refused, and not sent again: {error}"
            log.warning("%s: %s: %s", self._target.name, said, message.subject)
        else:
            self._outage.ended("%s: reached again", self._target.name)
            log.info("%s: %s: %s", self._target.name, said, message.subject)
        await self._outbox.remove(self._target.name, message)
        return True
