"""A link between a spool that a test fills and a list of predictions, for scripted brokers."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from support.patience import PATIENCE_S
from support.spools import home_in_ram

from agent.config import LinkSettings, SpoolSettings
from agent.credentials import Plaintext
from agent.link import Link
from agent.model import Identity, Prediction, Reading
from agent.spool.directories import Directories
from agent.spool.spool import Spool
from quartet.address import Address
from quartet.clock import Clock

PERIOD_NS = 100_000_000
VALUES = (0.25, 0.5, 0.75, 1.0)
QUICK = LinkSettings(
    window=8, reply_deadline_s=PATIENCE_S, backoff_min_s=0.01, backoff_max_s=0.02, keepalive_s=10
)


class Bench:
    """A link between a spool that a test fills and a list of predictions."""

    leaving: ExitStack

    def __init__(
        self,
        port: int,
        settings: LinkSettings = QUICK,
        period_ns: int = 0,
        clock: Clock = time,
    ) -> None:
        self.predictions: list[Prediction] = []
        home = self.leaving.enter_context(home_in_ram())
        directories = Directories(home / "hot", home / "cold")
        directories.hot.mkdir()
        directories.cold.mkdir()
        spool = Spool(directories, SpoolSettings(), period_ns)
        self.spool = self.leaving.enter_context(closing(spool))
        self.on_prediction: Callable[[], None] = lambda: None
        self._changed = asyncio.Event()
        self.link = Link(
            Identity("bench"),
            [Address("127.0.0.1", port)],
            settings,
            self.spool,
            self._deliver,
            credentials=Plaintext(),
            clock=clock,
        )

    def sample(self, count: int, *, sampled_at_ns: int = 0) -> None:
        for number in range(count):
            self.spool.append(Reading(VALUES, sampled_at_ns + number * PERIOD_NS))

    def _deliver(self, prediction: Prediction) -> None:
        self.predictions.append(prediction)
        self.on_prediction()
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds; asked again at each prediction and each entry of the link's log."""
        noticed = logging.getLogger("agent.link")
        handler = logging.Handler()
        handler.emit = lambda _: self._changed.set()  # type: ignore[method-assign]
        noticed.addHandler(handler)
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        finally:
            noticed.removeHandler(handler)

    @property
    def answers(self) -> list[tuple[int, bool]]:
        return [(p.sample.id, p.value) for p in self.predictions]

    async def run(self) -> None:
        """Until each sample that was put in is settled."""
        self.spool.finish()
        async with asyncio.timeout(PATIENCE_S):
            await self.link.run()


@pytest.fixture
def leaving_the_benches() -> Iterator[None]:
    with ExitStack() as Bench.leaving:
        yield


def by_parity(count: int) -> list[tuple[int, bool]]:
    return [(id_, id_ % 2 == 0) for id_ in range(count)]
