"""Which recorder, and which reader: the one place that knows the backends."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from broker.config import Settings, Store
from broker.recorder import Recorder
from broker.recorder.memory import MemoryRecorder
from broker.recorder.reader import Reader
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.reader import SqliteReader
from broker.recorder.sqlite.recorder import SqliteRecorder
from broker.recorder.sqlite.upkeep import SqliteUpkeep
from broker.recorder.upkeep import Upkeep
from broker.records import SNAPSHOT_EVERY
from quartet.distribution import to_install
from quartet.errors import StoreError


@asynccontextmanager
async def open_recorder(
    store: Store | None, settings: Settings, digest: str
) -> AsyncIterator[Recorder]:
    """The recorder of a store while entered, or one in memory. StoreError for a bad store."""
    if store is None:
        yield MemoryRecorder()
        return
    own = settings.recorder
    # What comes before a line's first snapshot must be there as a whole.
    replay = max(own.replay, SNAPSHOT_EVERY)
    if isinstance(store, str):
        with _library(store):
            from broker.recorder.postgres.keeping import FleetKeeping  # noqa: PLC0415
            from broker.recorder.postgres.recorder import PostgresRecorder  # noqa: PLC0415
        shared = FleetKeeping(own.sync, replay, own.max_age_days)
        generation = settings.fleet.generation
        async with PostgresRecorder(store, digest, shared, generation=generation) as recorder:
            yield recorder
        return
    keeping = Keeping(own.sync, replay, own.max_age_days, own.max_bytes)
    with SqliteRecorder(store, digest, keeping) as embedded:
        yield embedded


def open_reader(store: Store) -> Reader:
    """The reader of a store. StoreError."""
    if isinstance(store, str):
        with _library(store):
            from broker.recorder.postgres.reader import PostgresReader  # noqa: PLC0415
        return PostgresReader(store)
    return SqliteReader(store)


def open_upkeep(store: Store) -> Upkeep:
    """The upkeep of a store. StoreError for a database, which has programs of its own for that."""
    if isinstance(store, str):
        raise StoreError(
            f"{store}: 'broker store' works on files: back up a database with pg_dump or"
            " pg_basebackup, and check it with pg_amcheck"
        )
    return SqliteUpkeep(store)


@contextmanager
def _library(store: str) -> Iterator[None]:
    """Have a library that is missing be a StoreError."""
    try:
        yield
    except ImportError as error:
        raise StoreError(f"{store}: {error.name} is missing: {to_install('fleet')}") from error
