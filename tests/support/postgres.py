"""A PostgreSQL server of Debian's package, and databases for tests on it."""

import asyncio
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from support.patience import PATIENCE_S, until
from support.ports import kept_port

from bench.usage import descendants
from broker.recorder.postgres.schema import migrate

_PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)

# They refuse root, and work for the user that the package has made.
_USER = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


# A test's server need not survive a power cut.
_SETTINGS = {
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "max_locks_per_transaction": "256",
}

_TRUNCATE = """
    TRUNCATE brokers, lines, sessions, gaps, samples, samples_kept, explanations, snapshots,
        commands, events, standings, labels, asides, losses RESTART IDENTITY
"""

# With their locks, which a broker of the same number would not get.
_END_ALL = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = '{}'"

# What the server says when its disk is full, without a disk of its own.
_FULL = """
    CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full';
    END $$;
    CREATE TRIGGER full_disk BEFORE INSERT ON sessions EXECUTE FUNCTION full_disk();
    CREATE TRIGGER full_disk BEFORE INSERT ON events EXECUTE FUNCTION full_disk()
"""


class Server:
    """A server in a directory of its own, which survives a kill of any broker, and no power cut."""

    def __init__(
        self,
        folder: Path,
        primary: "Server | None" = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`primary`: of which this one is a standby; `settings`: more than those of all tests."""
        assert _PROGRAMS
        self._folder = folder
        self._settings = _SETTINGS | {**(settings or {})}
        self._numbers = itertools.count(1)
        self._shared: Database | None = None
        # Nobody else gets it, also between a kill and a restart.
        self._leaving = ExitStack()
        self.port = self._leaving.enter_context(kept_port())
        if primary:
            where = f"host=127.0.0.1 port={primary.port} user=postgres"
            self._run(
                "pg_basebackup", "-D", "data", "-R", "-X", "stream", "-c", "fast", "-d", where
            )
            self.restart()
            return
        self._run("initdb", "-D", "data", "-A", "trust", "-U", "postgres", "-N", "-E", "UTF8")
        hba = folder / "data" / "pg_hba.conf"
        hba.write_text(f"host all guarded 127.0.0.1/32 scram-sha-256\n{hba.read_text()}")
        self.restart()

    def _is_ready(self) -> bool:
        """Whether it answers; False where it has ended."""
        assert _PROGRAMS
        asked = [_PROGRAMS / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(asked, check=False).returncode:
            if self.process.poll() is not None:
                return False
            time.sleep(0.05)
        return True

    def _spawn(self) -> "subprocess.Popen[bytes]":
        assert _PROGRAMS
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [
                    *(_PROGRAMS / "postgres", "-D", "data", "-p", str(self.port)),
                    *("-h", "127.0.0.1", "-k", str(self._folder)),
                    *(f"-c{name}={value}" for name, value in self._settings.items()),
                ],
                cwd=self._folder,
                stdout=log,
                stderr=log,
                **_USER,
            )

    def _run(self, program: str, *arguments: str) -> None:
        assert _PROGRAMS
        subprocess.run(
            [_PROGRAMS / program, *arguments],
            cwd=self._folder,
            check=True,
            stdout=subprocess.DEVNULL,
            **_USER,
        )

    def run(self, program: str, *arguments: str) -> None:
        """Run a program for people, such as pg_dump, to its end."""
        assert _PROGRAMS
        subprocess.run([_PROGRAMS / program, *arguments], check=True, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        """Have it die, with all its connections, as its machine would."""
        workers = descendants(self.process.pid)  # without it they would end a moment later
        self.process.kill()
        self.process.wait()
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def freeze(self, *, thaw: bool = False) -> None:
        """Have it stand still, with all its processes; or go on."""
        for pid in (self.process.pid, *descendants(self.process.pid)):
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(pid, signal.SIGCONT if thaw else signal.SIGSTOP)

    def promote(self) -> None:
        """Make a standby the primary, and return when it is."""
        self._run("pg_ctl", "promote", "-w", "-D", "data")

    def restart(self) -> None:
        """Start it again, once nothing is left of the one that died."""

        def starts() -> bool:
            self.process = self._spawn()
            return self._is_ready()

        until(starts)

    def stop(self) -> None:
        """End it, with all its connections."""
        self.process.send_signal(2)
        self.process.wait()
        self._leaving.close()

    def url(self, database: str, user: str = "postgres", port: int = 0) -> str:
        """Of one of its databases; by another port where something stands between."""
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/{database}"

    async def emptied(self) -> "Database":
        """The database of all tests that need no other, with its tables and nothing in them."""
        if self._shared is None:
            self._shared = await self.create()
            await self._shared.prepare()
        await self._shared.lose()  # to those of the test before
        await self._shared.find()
        await self._shared.select(_TRUNCATE)
        return self._shared

    async def create(self) -> "Database":
        """A new database."""
        name = f"test_{next(self._numbers)}"
        await self.command(f"CREATE DATABASE {name}")
        return Database(self, name)

    async def command(self, query: str) -> None:
        """Have something done beside all databases."""
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            await connection.execute(query)
        finally:
            await connection.close()


class Database:
    """One database of a test, which asks it beside the brokers."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name

    @property
    def url(self) -> str:
        """For a recorder."""
        return self.server.url(self.name)

    async def select(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Ask, or change something."""
        connection = await asyncpg.connect(self.url)
        try:
            return [tuple(row) for row in await connection.fetch(query, *arguments)]
        finally:
            await connection.close()

    async def do(self, script: str) -> None:
        """Have statements done."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(script)
        finally:
            await connection.close()

    async def prepare(self) -> None:
        """Make the tables, as a broker does."""
        connection = await asyncpg.connect(self.url)
        try:
            await migrate(connection, self.url)
        finally:
            await connection.close()

    async def reach(self, standby: Server) -> None:
        """Wait until the standby has what this database has."""
        there = Database(standby, "postgres")
        ((end,),) = await self.select("SELECT pg_current_wal_lsn()::text")
        query = f"SELECT pg_last_wal_replay_lsn() >= '{end}'::pg_lsn"
        async with asyncio.timeout(PATIENCE_S):
            while await there.select(query) != [(True,)]:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)

    async def drop(self) -> None:
        """Delete it, whoever is connected."""
        await self.server.command(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")

    async def lose(self) -> None:
        """Have it where no broker reaches it; returns when no session is left."""
        await self.server.command(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS false")
        await self.server.command(_END_ALL.format(self.name))

    async def find(self) -> None:
        """Have it back."""
        await self.server.command(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS true")


@asynccontextmanager
async def full_server(database: Database) -> AsyncIterator[None]:
    """No sample can be written, nor an event, while entered."""
    await database.do(_FULL)
    try:
        yield
    finally:
        await database.do("DROP FUNCTION full_disk CASCADE")


def hand_over(folder: Path) -> None:
    """Have a directory belong to whom the servers run as."""
    if _USER:
        shutil.chown(folder, "postgres", "postgres")


@contextmanager
def running(primary: Server | None = None) -> Iterator[Server]:
    """A server while entered, or a standby of one; without the package, the test is skipped."""
    if not is_there():
        pytest.skip("the Debian package postgresql is not installed")
    folder = Path(tempfile.mkdtemp(prefix="quartet-postgres-"))
    try:
        hand_over(folder)
        server = Server(folder, primary)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def is_there() -> bool:
    """Whether the package is installed."""
    return _PROGRAMS is not None
