"""A link with an outbox in memory, for tests of what it does about its connection."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

import msgspec
from support.patience import PATIENCE_S

from agent.config import LinkSettings
from agent.credentials import Credentials, Plaintext
from agent.link import Link
from agent.model import Identity, Prediction, Sample, Session
from agent.reach.names import Names
from quartet.address import Address
from quartet.clock import Clock

SESSION = Session(1, "0123456789abcdef" * 2, 0, 0)
QUICK = LinkSettings(reply_deadline_s=0.5, backoff_min_s=0.01, backoff_max_s=0.02)
"""For what is about who answers too late."""

PATIENT = msgspec.structs.replace(QUICK, reply_deadline_s=PATIENCE_S)
"""For all else: on a busy machine, half a second may pass at any place."""


class Outbox:
    """Samples that a test puts in."""

    def __init__(self) -> None:
        self._waiting: deque[Sample] = deque()
        self._taken: list[Sample] = []
        self._come = asyncio.Event()
        self._next_id = 0

    def put(self) -> None:
        self._waiting.append(Sample(SESSION, self._next_id, (0.0, 0.0, 0.0, 0.0), 0))
        self._next_id += 1
        self._come.set()

    async def read(self, limit: int) -> list[Sample]:
        while not self._waiting:
            self._come.clear()
            await self._come.wait()
        taken = [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]
        self._taken += taken
        return taken

    def rewind(self) -> None:
        self._waiting.extendleft(reversed(self._taken))
        self._taken.clear()

    def settle(self, sample: Sample, *, answered: bool) -> None:  # noqa: ARG002 - as the seam has it
        self._taken.remove(sample)


class Tried:
    """A link that runs while entered, with one sample to send."""

    def __init__(
        self,
        address: Address,
        credentials: Credentials | None = None,
        *,
        names: Names | None = None,
        proxy: Address | None = None,
        settings: LinkSettings = PATIENT,
        clock: Clock = time,
    ) -> None:
        self.outbox = Outbox()
        self.outbox.put()
        self.predictions: list[Prediction] = []
        self._changed = asyncio.Event()
        self.link = Link(
            Identity("press-1"),
            [address],
            settings,
            self.outbox,
            self._deliver,
            credentials=credentials or Plaintext(),
            proxy=proxy,
            names=names,
            clock=clock,
        )
        self._handler = logging.Handler()
        self._handler.emit = lambda _: self._changed.set()  # type: ignore[method-assign]

    async def __aenter__(self) -> "Tried":
        logging.getLogger("agent.link").addHandler(self._handler)
        self._running = asyncio.create_task(self.link.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        logging.getLogger("agent.link").removeHandler(self._handler)
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until it holds; it is looked at with each prediction and each entry in the log."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def trouble(self) -> str:
        """What the link says of its first failure."""
        await self.until(lambda: self.link.trouble)
        return self.link.trouble

    def _deliver(self, prediction: Prediction) -> None:
        self.predictions.append(prediction)
        self._changed.set()
