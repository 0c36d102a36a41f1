"""Which recorder, and which reader: the one place that knows the backends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from broker.config import RecorderSettings
from broker.recorder import Recorder
from broker.recorder.memory import MemoryRecorder
from broker.recorder.reader import Reader
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.reader import SqliteReader
from broker.recorder.sqlite.recorder import SqliteRecorder
from broker.recorder.sqlite.upkeep import SqliteUpkeep
from broker.recorder.upkeep import Upkeep
from broker.records import SNAPSHOT_EVERY


@asynccontextmanager
async def open_recorder(
    store: Path | None, settings: RecorderSettings, digest: str
) -> AsyncIterator[Recorder]:
    """The recorder of a store while entered, or one in memory. StoreError for a bad store."""
    if store is None:
        yield MemoryRecorder()
        return
    # What comes before a line's first snapshot must be there as a whole.
    replay = max(settings.replay, SNAPSHOT_EVERY)
    keeping = Keeping(settings.sync, replay, settings.max_age_days, settings.max_bytes)
    with SqliteRecorder(store, digest, keeping) as recorder:
        yield recorder


def open_reader(store: Path) -> Reader:
    """The reader of a store."""
    return SqliteReader(store)


def open_upkeep(store: Path) -> Upkeep:
    """The upkeep of a store."""
    return SqliteUpkeep(store)
