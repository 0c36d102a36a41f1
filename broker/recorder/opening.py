"""Which recorder, and which reader: the one place that knows the backends.

Each is imported where it is opened: a process has one of them, and one has 3 MB of modules.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from broker.config import Settings, Store
from broker.recorder import Recorder
from broker.records import SNAPSHOT_EVERY
from quartet.clock import Clock
from quartet.distribution import to_install
from quartet.errors import SettingsError, StoreError

if TYPE_CHECKING:
    from broker.recorder.moving import MoveSource, MoveTarget
    from broker.recorder.reader import Reader
    from broker.recorder.upkeep import Upkeep


@asynccontextmanager
async def open_recorder(
    store: Store | None, settings: Settings, digest: str
) -> AsyncIterator[Recorder]:
    """The recorder of a store while entered, or one in memory. StoreError for a bad store."""
    if store is None:
        from broker.recorder.memory import MemoryRecorder  # noqa: PLC0415

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
    from broker.recorder.sqlite.keeping import Keeping  # noqa: PLC0415
    from broker.recorder.sqlite.recorder import SqliteRecorder  # noqa: PLC0415

    keeping = Keeping(own.sync, replay, own.max_age_days, own.max_bytes)
    with SqliteRecorder(store, digest, keeping) as embedded:
        yield embedded


def open_reader(store: Store, *, prefers_standby: bool = False) -> "Reader":
    """The reader of a store. StoreError.

    `prefers_standby`: who asks without end spares the server that the brokers write to.
    """
    if isinstance(store, str):
        with _library(store):
            from broker.recorder.postgres.reader import PostgresReader  # noqa: PLC0415
        return PostgresReader(store, prefers_standby=prefers_standby)
    from broker.recorder.sqlite.reader import SqliteReader  # noqa: PLC0415

    return SqliteReader(store)


async def inspect_database(
    url: str, settings: Settings, digest: str, clock: Clock
) -> tuple[str, Sequence[str]]:
    """What a database is, and warnings. StoreError: no broker could start with it."""
    with _library(url):
        from broker.recorder.postgres.inspection import inspect  # noqa: PLC0415
    return await inspect(url, settings.recorder.sync, settings.fleet.generation, digest, clock)


def open_upkeep(store: Store) -> "Upkeep":
    """The upkeep of a store. StoreError."""
    if isinstance(store, str):
        with _library(store):
            from broker.recorder.postgres.upkeep import PostgresUpkeep  # noqa: PLC0415
        return PostgresUpkeep(store)
    from broker.recorder.sqlite.upkeep import SqliteUpkeep  # noqa: PLC0415

    return SqliteUpkeep(store)


@asynccontextmanager
async def open_to_move(
    source: Store, target: Store
) -> AsyncIterator["tuple[MoveSource, MoveTarget]"]:
    """Both stores of a move, for us alone while entered. StoreError."""
    if isinstance(source, str) and isinstance(target, Path):
        with _library(source):
            from broker.recorder.postgres import move_source as database_source  # noqa: PLC0415
            from broker.recorder.sqlite import move_target as file_target  # noqa: PLC0415
        async with database_source.open_source(source) as whence:
            with file_target.open_target(target) as whither:
                yield whence, whither
    elif isinstance(source, Path) and isinstance(target, str):
        with _library(target):
            from broker.recorder.postgres import move_target as database_target  # noqa: PLC0415
            from broker.recorder.sqlite import move_source as file_source  # noqa: PLC0415
        with file_source.open_source(source) as file:
            async with database_target.open_target(target) as database:
                yield file, database
    else:
        raise SettingsError(
            "FROM and TO: one must be a file, and the other a postgresql:// URL: 'broker store"
            " backup' copies a file, and pg_dump a database"
        )


@contextmanager
def _library(store: str) -> Iterator[None]:
    """Have a library that is missing be a StoreError."""
    try:
        yield
    except ImportError as error:
        raise StoreError(f"{store}: {error.name} is missing: {to_install('fleet')}") from error
