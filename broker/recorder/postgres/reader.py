"""The Reader of a database: its questions are asked beside the brokers, on few connections."""

import asyncio
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from broker.errors import RecordError
from broker.recorder.cursor import arrival_ns
from broker.recorder.fleet import Fleet
from broker.recorder.postgres import accounts, brokers, commands, fleet, past, states, strips
from broker.recorder.postgres.cursors import OTHERS, Place, parsed
from broker.recorder.postgres.hosts import Wanted
from broker.recorder.postgres.link import Link, Links
from broker.recorder.postgres.rows import EVENT, SAMPLE, event_of, once, position_of, sample_of
from broker.recorder.postgres.schema import check_version
from broker.recorder.postgres.server import (
    ERRORS,
    READING,
    SPARING,
    WRITING,
    connect,
    refuse_pooler,
    store_error,
)
from broker.recorder.reader import (
    Accounts,
    Bulk,
    Command,
    Course,
    LineState,
    News,
    PlainAccount,
    RecordedEvent,
    RecordedExplanation,
    RecordedSample,
    RecordedSnapshot,
    Sessions,
    Span,
    Strip,
)
from quartet.clock import Clock
from quartet.errors import StoreError

Result = TypeVar("Result")

# Questions at once; a connection costs the server a process.
_CONNECTIONS = 4

# For one question, with the connection for it: longer than the server takes for one.
_PATIENCE_S = 25.0

# Samples that are given at once, and looked at for one question.
_CHUNK = 500
_LOOK = 5000

_LINE = "(SELECT line FROM lines WHERE agent_id = $1)"
_END = f"""
    SELECT max(position) AS position FROM (
        SELECT position FROM recorded WHERE line = {_LINE} AND position > $2
        ORDER BY position LIMIT {_LOOK}
    ) AS next
"""  # noqa: S608
_SAMPLES = f"""
    {SAMPLE} WHERE recorded.line = {_LINE} AND position > $2 AND position <= $3
        AND sampled_at_ns >= $4 AND sampled_at_ns < $5 ORDER BY position LIMIT {_CHUNK}
"""
_EXPLANATIONS = """
    SELECT coalesce(sessions.id, ''), explanations.id, sampled_at_ns, text
    FROM explanations JOIN lines ON lines.line = explanations.line
    LEFT JOIN sessions ON sessions.session = explanations.session
    WHERE agent_id = $1 AND sampled_at_ns >= $2 AND sampled_at_ns < $3 ORDER BY position
"""
_EVENTS = f"""
    {EVENT} JOIN lines USING (line) WHERE agent_id = $1 AND at_ns >= $2 AND at_ns < $3
    ORDER BY at_ns, event
"""
_COMMANDS = """
    SELECT name, at_ns, position IS NOT NULL FROM commands WHERE agent_id = $1 ORDER BY command
"""
_COUNT = f"SELECT count(DISTINCT position) AS count FROM recorded WHERE line = {_LINE}"  # noqa: S608


class PostgresReader:
    """A Reader of a database. One question may be asked beside another, in one event loop.

    Where the URL names several servers, the primary is asked, or a standby where there is none, or
    where it is preferred. Its connections end with it.
    """

    def __init__(self, url: str, clock: Clock = time, *, prefers_standby: bool = False) -> None:
        self._url = url
        self._reading = SPARING if prefers_standby else READING
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._links: dict[Sequence[Wanted], Links] = {}

    def close(self) -> None:
        """End the connections that no question uses; the next question makes one again."""
        for links in self._links.values():
            links.close()

    async def accounts(self) -> Accounts:
        """What became of each sample. Raises StoreError, as all do."""
        return await self._ask(accounts.accounts)

    async def sessions(self, agent_id: str, most: int) -> Sessions:
        """The accounts of an agent's newest sessions."""
        return await self._ask(lambda link: accounts.sessions(link, agent_id, most))

    async def lines(self) -> Sequence[LineState]:
        """The state of each agent's line, by agent id."""
        return await self._ask(states.line_states)

    async def line(self, agent_id: str) -> LineState | None:
        """The state of one agent's line; None: it has none."""
        return await self._ask(lambda link: states.line_state(link, agent_id))

    async def plain(self) -> PlainAccount:
        """The sum over the streams of plain peers that are still on record."""
        return await self._ask(accounts.plain)

    async def samples(self, agent_id: str, span: Span) -> AsyncIterator[Sequence[RecordedSample]]:
        """An agent's samples of this span, in the order of their records.

        Looks through all records of the line: no clock hides a sample, whatever it was set to.
        """
        behind = 0
        while end := (await self._rows(_END, agent_id, behind))[0]["position"]:
            while behind < end:
                arguments = agent_id, behind, end, span.since_ns, span.until_ns
                rows = once(await self._rows(_SAMPLES, *arguments), position_of)
                if rows:
                    yield [sample_of(row) for row in rows]
                behind = rows[-1]["position"] if rows else end

    async def recent(self, agent_id: str, since_ns: int, most: int) -> Sequence[RecordedSample]:
        """An agent's newest samples that arrived at this time or later."""
        return await self._ask(lambda link: past.recent(link, agent_id, since_ns, most))

    async def explanations(self, agent_id: str, span: Span) -> Sequence[RecordedExplanation]:
        """What was said about the samples of a span."""
        rows = await self._rows(_EXPLANATIONS, agent_id, span.since_ns, span.until_ns)
        return [RecordedExplanation(*row) for row in rows]

    async def events(self, agent_id: str, span: Span) -> Sequence[RecordedEvent]:
        """What happened to an agent's line in a span."""
        rows = await self._rows(_EVENTS, agent_id, span.since_ns, span.until_ns)
        return [event_of(row) for row in rows]

    async def snapshot(self, agent_id: str, at_ns: int) -> RecordedSnapshot | None:
        """The newest state of a black box up to a time of sampling, or the oldest."""
        return await self._ask(lambda link: past.snapshot(link, agent_id, at_ns))

    async def course(self, agent_id: str, cursor: str, most: int) -> Course:
        """The next samples that a black box saw, with its states on record between them."""
        return await self._ask(lambda link: past.course(link, agent_id, cursor, most))

    async def served_since(self) -> int | None:
        """When the broker that has run longest has opened the store; None: no broker runs."""
        return await self._ask(brokers.served_since)

    async def fleet(self) -> Fleet | None:
        """Which broker owns which line, and what the database is."""
        return await self._ask(fleet.fleet)

    async def commands(self, agent_id: str) -> Sequence[Command]:
        """The latest command that was applied, and those that wait."""
        rows = await self._rows(_COMMANDS, agent_id)
        return [Command(*row) for row in rows]

    async def command_rebase(self, agent_id: str) -> bool:
        """Reset a line's black box; whether a broker runs, which will."""

        async def note(link: Link) -> bool:
            await commands.add(link, self._url, agent_id, "rebase", self._clock.time_ns())
            return await brokers.served_since(link) is not None

        return await self._ask(note, WRITING)

    async def command_forget(self, agent_id: str) -> int | None:
        """Delete all of an agent: at once, or by a broker that runs, which gives None."""

        async def forget(link: Link) -> int | None:
            await commands.add(link, self._url, agent_id, "forget", self._clock.time_ns())
            if await brokers.served_since(link) is not None:
                return None
            count: int = (await link.ask(_COUNT, agent_id))[0]["count"]
            await commands.forget(link, agent_id)
            return count

        return await self._ask(forget, WRITING)

    async def tail(self) -> str:
        """The cursor behind the newest sample."""
        return str(await self._ask(strips.tail))

    async def news(self, cursor: str, most: int) -> News:
        """Samples of all agents behind a cursor, in the order of the rounds."""
        behind = parsed(cursor, most)
        rows = await self._ask(lambda link: strips.following(link, behind, most))
        if not rows:
            return News([], cursor)
        samples = [sample_of(row) for row in rows if row["agent_id"] is not None]
        return News(samples, str(strips.place_of(rows[-1])))

    async def bulk(self, cursor: str, most: int) -> Bulk:
        """The same as strips."""
        try:
            behind = parsed(cursor, most)
        except ValueError:
            if most < 1:
                raise
            behind = Place(OTHERS, arrived_at_ns=arrival_ns(cursor))
        return await self._ask(lambda link: strips.bulk(link, behind, most))

    async def strip(self, agent_id: str, span: Span, most: int, behind: str = "") -> Strip | None:
        """An agent's samples of a span as one strip, if they are not too many."""
        place = parsed(behind, most)
        return await self._ask(lambda link: strips.strip(link, agent_id, span, most, place))

    async def _rows(self, query: str, *arguments: object) -> list[Any]:
        return await self._ask(lambda link: link.ask(query, *arguments))

    async def _ask(
        self,
        ask: Callable[[Link], Awaitable[Result]],
        wanted: Sequence[Wanted] | None = None,
    ) -> Result:
        """Ask on one of the connections. What the server says there is a StoreError."""
        links = self._links_to(wanted or self._reading)
        try:
            async with asyncio.timeout(_PATIENCE_S), links.borrowed() as link:
                return await ask(link)
        except RecordError as error:
            raise StoreError(f"{self._url}: {error}") from error
        except TimeoutError as error:
            raise StoreError(
                f"{self._url}: the server does not answer within {_PATIENCE_S:g} s: check it, and"
                " the network between"
            ) from error
        except StoreError:
            raise
        except (*ERRORS, OSError) as error:
            raise store_error(self._url, error) from error

    def _links_to(self, wanted: Sequence[Wanted]) -> Links:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self.close()
            self._loop = loop
            for each, most in ((self._reading, _CONNECTIONS), (WRITING, 1)):
                links = self._links[each] = Links(partial(_connect, self._url, each), most)
                weakref.finalize(self, links.close)
        return self._links[wanted]


async def _connect(url: str, wanted: Sequence[Wanted]) -> Link:
    connection = await connect(url, wanted)
    try:
        await refuse_pooler(connection, url)
        await check_version(connection, url)
    except BaseException:
        connection.terminate()
        raise
    return Link(connection)
