"""Connections that are shared: which is free, and whether what was written on it is durable."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from broker.errors import UncertainError
from quartet.foreign import shown

# "WARNING: canceling wait for synchronous replication": the commit is on this server alone.
_WARNING = "01000"

# The server ends the connection, in whatever it was doing.
_ENDINGS = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)


class Link:
    """One connection. Whoever has it asks one thing after the other."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._warning = ""
        connection.add_log_listener(self._note)

    @property
    def is_open(self) -> bool:
        """Whether nothing has ended it yet, as far as is known."""
        return not self._connection.is_closed()

    @property
    def pid(self) -> int:
        """The number of the server's process at the other end."""
        return int(self._connection.get_server_pid())

    def close(self) -> None:
        """End it at once, whatever it is waiting for."""
        with suppress(RuntimeError):  # its event loop has ended before it
            self._connection.terminate()

    async def ask(self, query: str, *arguments: object) -> list[Any]:
        """Read. Raises PostgresError, InterfaceError or OSError."""
        try:
            rows: list[Any] = await self._connection.fetch(query, *arguments)
        except asyncpg.InternalClientError as error:  # the server has ended it just now
            self.close()
            raise asyncpg.InterfaceError(shown(error)) from error
        return rows

    async def run(self, script: str) -> None:
        """Execute a statement without parameters, or several as one transaction."""
        await self._connection.execute(script)

    async def commit(
        self, query: str, *arguments: object, timeout_s: float | None = None
    ) -> list[Any]:
        """Write in a transaction of its own, and return when that is durable.

        PostgresError: nothing was written. UncertainError: nobody knows.
        """
        self._warning = ""
        try:
            rows: list[Any] = await self._connection.fetch(query, *arguments, timeout=timeout_s)
        except _ENDINGS as error:
            raise UncertainError(shown(error)) from error
        except TimeoutError as error:
            self.close()
            raise UncertainError(f"the server takes longer than {timeout_s:g} s") from error
        except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            raise UncertainError(shown(error)) from error
        except asyncio.CancelledError:
            self.close()
            raise
        # The server's message came before its answer: the listener has heard it.
        if self._warning:
            raise UncertainError(self._warning)
        return rows

    def _note(self, _: object, message: Any) -> None:
        if message.sqlstate == _WARNING:
            self._warning = shown(message)


class Links:
    """A few connections for questions, each made when it is needed. Loop only."""

    def __init__(self, connect: Callable[[], Awaitable[Link]], most: int) -> None:
        self._connect = connect
        self._room = asyncio.Semaphore(most)
        self._idle: list[Link] = []

    @asynccontextmanager
    async def borrowed(self) -> AsyncIterator[Link]:
        """One of them while entered; raises what connecting does."""
        async with self._room:
            link = self._free() or await self._connect()
            try:
                yield link
            except (asyncpg.PostgresError, asyncpg.InterfaceError):
                self._give_back(link)
                raise
            except BaseException:  # somebody was cut off amid an answer
                link.close()
                raise
            self._give_back(link)

    def close(self) -> None:
        """End those that are idle."""
        while self._idle:
            self._idle.pop().close()

    def _free(self) -> Link | None:
        while self._idle:
            if (link := self._idle.pop()).is_open:
                return link
        return None

    def _give_back(self, link: Link) -> None:
        if link.is_open:
            self._idle.append(link)
