"""The database of a fleet: a primary, and a standby that confirms each commit and takes over."""

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import asyncpg
from support.patience import until
from support.postgres import Server, hand_over

from chaos.disk import Disk
from chaos.fleet.configuration import DATABASE

_NAME = "site"

_SETTINGS = {
    "cluster_name": _NAME,  # under which a standby confirms
    "wal_retrieve_retry_interval": "500ms",
    # Small, so that a disk holds both for long.
    "min_wal_size": "32MB",
    "max_wal_size": "64MB",
    "wal_keep_size": "64MB",
}

# Enough for a run with room to spare; small enough to be filled in no time.
_DISK_MB = 384
_INODES = 8192

_CONFIRMS = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'quorum'"


class Pair:
    """Two places for servers. A commit is there when both have it; without a standby it waits."""

    def __init__(self, home: Path, *, mounts: bool, lead: Callable[[int, int], None]) -> None:
        """`home` is made. `lead` has the brokers' way to a place end at a port."""
        self._home = home
        self._mounts = mounts
        self._lead = lead
        self._primary = 0
        self.disturbed = 0
        """How often something was done to it, so far."""
        self.is_well = True
        """Whether all that was done to it is over."""

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Build and start both servers; end them."""
        self._home.mkdir()
        with contextlib.ExitStack() as stack:
            size_mb = _DISK_MB if self._mounts else None
            self._disks = [Disk(self._home / name, size_mb, _INODES) for name in ("one", "two")]
            for disk in self._disks:
                stack.callback(disk.unmount)
                hand_over(disk.path)
            primary = Server(self._disks[0].path, settings=_SETTINGS)
            self._servers: list[Server | None] = [primary, None]
            stack.callback(self._end)
            self._lead(0, primary.port)
            asyncio.run(primary.command(f"CREATE DATABASE {DATABASE}"))
            self.select(f"ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 ({_NAME})'")
            self.add_standby()
            self.select("SELECT pg_reload_conf()")
            self._wait_for_standby()
            yield self

    @property
    def url(self) -> str:
        """Of the primary, past everything that stands between."""
        return self.primary.url(DATABASE)

    @property
    def primary(self) -> Server:
        """The one that is written to."""
        server = self._servers[self._primary]
        assert server, "there is no primary"
        return server

    @property
    def servers(self) -> list[Server]:
        """Both, as far as they are there."""
        return [server for server in self._servers if server]

    @property
    def disk(self) -> Disk:
        """The primary's."""
        return self._disks[self._primary]

    def select(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Ask the primary, or change something there."""

        async def asked() -> list[tuple[Any, ...]]:
            connection = await asyncpg.connect(self.url)
            try:
                return [tuple(row) for row in await connection.fetch(query, *arguments)]
            finally:
                await connection.close()

        return asyncio.run(asked())

    def kill_primary(self) -> None:
        """Have it die as its machine would; nobody can write until promote()."""
        self._disturb()
        self.primary.kill()

    def restart_primary(self) -> None:
        """Start the one that died again."""
        self.primary.restart()
        self._wait_for_standby()

    def promote(self) -> None:
        """Have the standby take over, and build a new one in the place of the dead primary."""
        self._servers[self._primary] = None
        self._primary = 1 - self._primary
        self.primary.promote()
        self.add_standby()
        self._wait_for_standby()

    def kill_standby(self) -> None:
        """Have it die: the primary's commits wait from now on."""
        self._disturb()
        standby = self._servers[1 - self._primary]
        assert standby, "there is no standby"
        standby.kill()

    def restart_standby(self) -> None:
        """Start it again."""
        standby = self._servers[1 - self._primary]
        assert standby, "there is no standby"
        standby.restart()
        self._wait_for_standby()

    def fill_disk(self) -> None:
        """Leave no room on the primary's disk."""
        self._disturb()
        self.disk.fill()

    def relieve_disk(self) -> None:
        """Make room, and start the primary again where it has given up."""
        self.disk.relieve()
        if self.primary.process.poll() is not None:
            self.primary.restart()
        self._wait_for_standby()

    def add_standby(self) -> None:
        """Build it from the primary, in the other place."""
        place = 1 - self._primary
        folder = self._disks[place].path
        shutil.rmtree(folder / "data", ignore_errors=True)
        standby = Server(folder, self.primary, _SETTINGS)
        self._servers[place] = standby
        self._lead(place, standby.port)

    def _wait_for_standby(self) -> None:
        def confirms() -> bool:
            try:
                return bool(self.select(_CONFIRMS))
            except (asyncpg.PostgresError, OSError):  # it is recovering
                return False

        until(confirms)
        self.is_well = True

    def _disturb(self) -> None:
        self.disturbed += 1
        self.is_well = False

    def _end(self) -> None:
        for server in self.servers:
            if server.process.poll() is None:
                server.stop()
