"""Connections that are shared: which is free, and whether what was written on it is durable."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
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

# What the library says then is about itself.
_ENDED = "the server has ended the connection"

# What a connection may say that is being ended.
_LAST_WORDS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)

# As long as the server is asked to give up what a connection waits for.
_GIVE_UP_S = 5.0

# A server ends a session in milliseconds. A stop waits no longer for one that does not answer.
_LEAVE_S = 2.0

_ending: set[asyncio.Task[None]] = set()


class Link:
    """One connection. Whoever has it asks one thing after the other."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._warning = ""
        self._is_given_up = False
        self._uncertain_since_s: float | None = None
        connection.add_log_listener(self._note)

    @property
    def is_open(self) -> bool:
        """Whether nothing has ended it yet, as far as is known."""
        return not (self._is_given_up or self._connection.is_closed())

    @property
    def uncertain_s(self) -> float:
        """For how long nobody knows what becomes of the latest commit."""
        since_s = self._uncertain_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    @property
    def pid(self) -> int:
        """The number of the server's process at the other end."""
        return int(self._connection.get_server_pid())

    def close(self) -> None:
        """End it at once; nothing is under way. The server notices a moment later."""
        with suppress(RuntimeError):  # its event loop has ended before it
            self._connection.terminate()

    async def leave(self) -> None:
        """End it; nothing is under way. The server has ended its session when this returns.

        One that was given up is left to given_up(): to end it twice would take the request back.
        """
        if not self._is_given_up:
            await self._end(_LEAVE_S)

    def give_up(self) -> None:
        """End it, whatever is under way: the server gives that up too.

        One that waits for a lock or a standby does not look whether its client is still there.
        """
        if not self._is_given_up:
            self._is_given_up = True
            task = asyncio.create_task(self._end(_GIVE_UP_S))
            _ending.add(task)
            task.add_done_callback(_ending.discard)

    async def _end(self, timeout_s: float) -> None:
        with suppress(*_LAST_WORDS):
            await self._connection.close(timeout=timeout_s)

    async def ask(self, query: str, *arguments: object) -> list[Any]:
        """Read. Raises PostgresError, InterfaceError or OSError."""
        with self._told():
            rows: list[Any] = await self._connection.fetch(query, *arguments)
        return rows

    async def run(self, script: str) -> None:
        """Execute a statement without parameters, or several as one transaction."""
        with self._told():
            await self._connection.execute(script)

    async def commit(
        self, query: str, *arguments: object, timeout_s: float | None = None
    ) -> list[Any]:
        """Write in a transaction of its own, and return when that is durable.

        PostgresError: nothing was written. UncertainError: nobody knows.
        """
        self._warning = ""
        self._uncertain_since_s = time.monotonic()
        try:
            rows: list[Any] = await self._connection.fetch(query, *arguments, timeout=timeout_s)
        except _ENDINGS as error:
            raise UncertainError(shown(error)) from error
        except TimeoutError as error:
            self.give_up()
            raise UncertainError(f"the server takes longer than {timeout_s:g} s") from error
        except asyncpg.InternalClientError as error:
            raise UncertainError(_ENDED) from error
        except (OSError, asyncpg.InterfaceError) as error:
            raise UncertainError(shown(error)) from error
        except asyncio.CancelledError:
            self.give_up()
            raise
        except asyncpg.PostgresError:
            self._uncertain_since_s = None
            raise
        # The server's message came before its answer: the listener has heard it.
        if self._warning:
            raise UncertainError(self._warning)
        self._uncertain_since_s = None
        return rows

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Raise InterfaceError where the server has ended it before."""
        try:
            yield
        except asyncpg.InternalClientError as error:
            self.close()
            raise asyncpg.InterfaceError(_ENDED) from error

    def _note(self, _: object, message: Any) -> None:
        if message.sqlstate == _WARNING:
            self._warning = shown(message)


async def given_up() -> None:
    """Return when the server has ended what was given up, or does not answer."""
    loop = asyncio.get_running_loop()
    if ending := [task for task in _ending if task.get_loop() is loop]:
        await asyncio.wait(ending, timeout=_LEAVE_S)


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
                link.give_up()
                raise
            self._give_back(link)

    def close(self) -> None:
        """End those that are idle."""
        while self._idle:
            self._idle.pop().close()

    async def leave(self) -> None:
        """End those that are idle, and return when the server has."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(link.leave() for link in idle))

    def _free(self) -> Link | None:
        while self._idle:
            if (link := self._idle.pop()).is_open:
                return link
        return None

    def _give_back(self, link: Link) -> None:
        if link.is_open:
            self._idle.append(link)
