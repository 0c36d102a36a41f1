"""A spool without threads: its keeper is stepped by hand, its clock is set, its power is cut."""

import asyncio
import logging
import shutil
import sqlite3
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support.clock import ManualClock
from support.files import Files

from agent.config import SpoolSettings
from agent.model import Sample, Session
from agent.spool import ledger
from agent.spool.books import Books
from agent.spool.condition import ColdState
from agent.spool.directories import FILE, Directories
from agent.spool.keeper import Keeper
from agent.spool.ledger import Ledger
from agent.spool.queue import FEW_READY, MOST_READY, Queue
from agent.spool.row import SAMPLE_BYTES
from agent.spool.schedule import WriteSchedule
from agent.spool.tiers import Tiers

PERIOD_NS = 100_000_000
EPOCH_NS = 1_700_000_000_000_000_000

# Commits there cost no wait for a disk.
RAM = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in it

Name = tuple[str, int]
"""A sample as the broker knows it: the id of its session, and its own."""


def name(sample: Sample) -> Name:
    return sample.session.id, sample.id


def content(sample: Sample) -> tuple[object, ...]:
    """All of a sample but the place of its session, which may shift."""
    return name(sample), sample.values, sample.sampled_at_ns


def rooms(*, disk: int = 2**20, ram: int = 2**20, **others: object) -> SpoolSettings:
    """Settings of a spool with room for so many samples."""
    sizes = {"max_bytes": disk * SAMPLE_BYTES, "hot_max_bytes": ram * SAMPLE_BYTES}
    return SpoolSettings(**sizes, **others)  # type: ignore[arg-type]


@contextmanager
def home_in_ram() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=RAM if RAM.is_dir() else None) as home:
        yield Path(home)


class Device:
    """The two directories of a spool, and what a disk thread and a loop would do with them."""

    def __init__(
        self,
        home: Path,
        settings: SpoolSettings | None = None,
        *,
        clock: ManualClock,
        sessions_before: int = 0,
        most_ready: int = MOST_READY,
        few_ready: int = FEW_READY,
        most_undeleted: int = 8192,
        most_sessions: int = 1000,
        has_tail: bool = False,
    ) -> None:
        self.home = home
        self.has_tail = has_tail
        self.settings = settings or rooms()
        self.files = Files()
        self.clock = clock
        self._most_ready, self._few_ready = most_ready, few_ready
        self._most_undeleted = most_undeleted
        self._most_sessions = most_sessions
        self._lives = 0
        self._sessions = sessions_before
        self.directories = self._life()
        self.directories.hot.mkdir(parents=True)
        self.directories.cold.mkdir()

    def start(self) -> None:
        clock = self.clock
        self.queue = Queue(self._most_ready, self._few_ready, clock=clock)
        self.books = Books(self._most_sessions)
        self.tiers = Tiers(
            self.directories, self.books, self.queue.held, clock=clock, open_tier=self.files
        )
        self.schedule = WriteSchedule(
            self.settings, clock=clock, most_undeleted=self._most_undeleted
        )
        self.keeper = Keeper(
            self.tiers, self.books, self.queue, self.schedule, self.settings, clock=clock
        )
        self._next_sequence = self.tiers.first_sequence
        self._session: Session | None = None

    def begin_session(self, sensors: bytes = b"") -> Session:
        """What happens at a start, and when ids have reached their highest."""
        self._sessions += 1
        self._session = Session(
            *(self._next_sequence, f"{self._sessions:032x}", PERIOD_NS, EPOCH_NS, sensors)
        )
        self._next_sequence += 1
        self._next_id = 0
        return self._session

    def append(self, count: int = 1) -> list[Sample]:
        session = self._session or self.begin_session()
        samples = [
            Sample(session, id_, (id_ + 0.25, session.sequence, -0.0, 1e-45), EPOCH_NS + id_)
            for id_ in range(self._next_id, self._next_id + count)
        ]
        samples = [replace(sample, values=as_float32(*sample.values)) for sample in samples]
        self._next_id += count
        for sample in samples:
            is_noted = self.has_tail and self.tiers.tail.note(sample)
            if not is_noted:
                self.tiers.register.note(session, sample.id + 1)
            self.queue.append(sample, is_noted=is_noted)
        return samples

    @property
    def last(self) -> tuple[str, int]:
        """The id of the present session, and its next id."""
        return (self._session.id, self._next_id) if self._session else ("", 0)

    @staticmethod
    def session_of(sequence: int) -> Session:
        return Session(sequence, f"{sequence:032x}", PERIOD_NS, EPOCH_NS)

    def step(self) -> None:
        """One turn of the disk thread."""
        self.keeper.step(self.queue.gather(0))

    @property
    def disk_fails(self) -> bool:
        return self.tiers.cold_state is not ColdState.WELL

    def keep(self, count: int) -> list[Sample]:
        samples = self.append(count)
        self.step()
        return samples

    async def hand_over(self) -> list[Sample]:
        """Append a sample while the reader waits; what it gets without the disk thread."""
        reading = asyncio.create_task(self.queue.read(9))
        await asyncio.sleep(0)
        self.append(1)
        for _ in range(3):  # the call from the bus thread, the future, the task
            await asyncio.sleep(0)
        if reading.done():
            return reading.result()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        return []

    async def take(self, limit: int) -> list[Sample]:
        """What read() gives at once."""
        reading = asyncio.create_task(self.queue.read(limit))
        await asyncio.sleep(0)
        if reading.done():
            return reading.result()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        return []

    async def drain(self) -> list[Sample]:
        """All that read() gives, settled as it comes."""
        drained: list[Sample] = []
        while True:
            self.step()
            taken = await self.take(1000)
            if not taken:
                return drained
            for sample in taken:
                self.queue.settle(sample, answered=True)
            drained += taken

    def close(self) -> None:
        """A stop in good order."""
        self.queue.close()
        self.step()
        self.tiers.close()

    def kill(self) -> None:
        """The end of the process at once: what the files hold now is what there is."""
        self.move_to(self.snapshot())

    def move_to(self, directories: Directories) -> None:
        """Go on with other directories."""
        self.tiers.close()
        self.directories = directories

    def cut_power(self) -> None:
        self.kill()
        empty(self.directories.hot)

    def snapshot(self) -> Directories:
        """A copy of the files as a killed process would leave them."""
        copy = self._life()
        for source, target in (
            (self.directories.hot, copy.hot),
            (self.directories.cold, copy.cold),
        ):
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("*-shm"))
        return copy

    def ledger(self) -> Ledger:
        return ledger.read(self.directories, self.files)

    def _life(self) -> Directories:
        self._lives += 1
        home = self.home / str(self._lives)
        return Directories(home / "hot", home / "cold")


def empty(directory: Path) -> None:
    """What the power does to a directory in RAM."""
    shutil.rmtree(directory)
    directory.mkdir()


def as_float32(*values: float) -> tuple[float, float, float, float]:
    first, second, third, fourth = array("f", values)
    return first, second, third, fourth


def waiting(directories: Directories) -> set[Name]:
    """What waits by the files themselves: rows of either tier that are not settled."""
    found: list[dict[str, list[tuple[Any, ...]]]] = []
    for directory in (directories.hot, directories.cold):
        if not (directory / FILE).exists():
            found.append({"ids": [], "rows": [], "settled": [], "moves": []})
            continue
        with closing(reader(directory)) as file:
            queries = {
                "ids": "SELECT sequence, id FROM sessions",
                "rows": "SELECT session, id FROM samples",
                "settled": "SELECT session, id FROM settled",
                "moves": "SELECT number FROM moves",
            }
            found.append({key: file.execute(query).fetchall() for key, query in queries.items()})
    hot, cold = found
    if (
        hot["ids"]
        and hot["moves"][0][0] + 1 < (cold["moves"] or [(0,)])[0][0]
        and {id_ for _, id_ in hot["ids"]} <= {id_ for _, id_ in cold["ids"]}
    ):
        hot = {"ids": [], "rows": [], "settled": []}  # left behind
    hot_ids, cold_ids = dict(hot["ids"]), dict(cold["ids"])
    ids = {**cold_ids, **hot_ids}
    there = {(hot_ids[place], id_) for place, id_ in hot["rows"]}
    there |= {(cold_ids[place], id_) for place, id_ in cold["rows"]}
    return there - {(ids[place], id_) for place, id_ in hot["settled"]}


def rows(directory: Path) -> set[Name]:
    """The samples in one file."""
    if not (directory / FILE).exists():
        return set()
    query = "SELECT s.id, t.id FROM samples t LEFT JOIN sessions s ON s.sequence = t.session"
    with closing(reader(directory)) as file:
        return {*file.execute(query)}


def count(directory: Path, table: str = "samples") -> int:
    with closing(reader(directory)) as file:
        (number,) = file.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
    return int(number)


def reader(directory: Path) -> sqlite3.Connection:
    """What another process sees in a file of the spool."""
    return sqlite3.connect(f"file:{directory / FILE}?mode=ro", uri=True)


class Blocked:
    """A file of the spool that cannot be written, or cannot even be read, until let go."""

    def __init__(self, directory: Path, *, unreadable: bool = False) -> None:
        self._connection = sqlite3.connect(directory / FILE, 0, isolation_level=None)
        if unreadable:
            self._connection.execute("PRAGMA locking_mode = exclusive")
        self._connection.execute("PRAGMA journal_mode = wal")
        self._connection.execute("BEGIN EXCLUSIVE")

    def close(self) -> None:
        self._connection.execute("ROLLBACK")
        self._connection.close()


def said(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def turns(device: Device, clock: ManualClock, number: int) -> list[Sample]:
    samples: list[Sample] = []
    for _ in range(number):
        samples += device.keep(3)
        clock.advance(0.7)
    return samples
