"""Spools in the same directories, one after the other, and what is read of them."""

import asyncio
from contextlib import ExitStack, closing
from pathlib import Path

from support.patience import PATIENCE_S
from support.spools import PERIOD_NS

from agent.config import SpoolSettings
from agent.model import Reading, Sample
from agent.spool import ledger
from agent.spool.directories import Directories
from agent.spool.ledger import Entry
from agent.spool.spool import Spool
from agent.spool.tier import OpenTier, Tier
from wire import MAX_ID


def reading(number: int) -> Reading:
    return Reading((float(number), 0.0, 0.0, 0.0), number)


def numbers(samples: list[Sample]) -> list[int]:
    """Which readings the samples are, by their time."""
    return [sample.sampled_at_ns for sample in samples]


class Starts:
    """Spools in the same two directories, one after the other."""

    def __init__(self, home: Path, leaving: ExitStack) -> None:
        self.directories = Directories(home / "hot", home / "cold")
        self.directories.hot.mkdir()
        self.directories.cold.mkdir()
        self._leaving = leaving

    def spool(
        self,
        settings: SpoolSettings | None = None,
        *,
        files: OpenTier = Tier,
        max_id: int = MAX_ID,
        join_s: float = 5.0,
    ) -> Spool:
        spool = Spool(
            self.directories,
            settings or SpoolSettings(),
            PERIOD_NS,
            open_tier=files,
            max_id=max_id,
            join_s=join_s,
        )
        return self._leaving.enter_context(closing(spool))

    def sessions(self) -> list[Entry]:
        read = ledger.read(self.directories)
        assert read.balanced
        return read.sessions


async def read(spool: Spool, limit: int) -> list[Sample]:
    return await asyncio.wait_for(spool.read(limit), PATIENCE_S)


async def read_all(spool: Spool, count: int) -> list[Sample]:
    """The next `count` samples."""
    samples: list[Sample] = []
    while len(samples) < count:
        samples += await read(spool, count - len(samples))
    return samples
