"""A broker's lines over a store of either kind."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from support.clock import ManualClock
from support.store import OpenLines, lines_in

from broker.config import Store
from broker.predictors import Predictor
from broker.recorder.postgres.keeping import FleetKeeping
from broker.recorder.postgres.recorder import PostgresRecorder


@asynccontextmanager
async def lines_of(
    store: Store,
    make: Callable[[], Predictor],
    *,
    digest: str = "d1",
    clock: ManualClock | None = None,
) -> AsyncIterator[OpenLines]:
    """What a broker has between its start and its stop."""
    if isinstance(store, Path):
        with lines_in(store, make, digest=digest, clock=clock) as lines:
            yield lines
        return
    async with PostgresRecorder(store, digest, FleetKeeping(), clock, tick_s=0.01) as recorder:
        yield OpenLines(make, recorder, digest=digest)
