"""The shared recorder: a database, and one broker's connections to it."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from functools import partial
from typing import Any, Self, TypeVar

import asyncpg

from broker.errors import RecordError, UncertainError
from broker.model import Answer, Sample
from broker.recorder.postgres import brokers, commands, partitions, questions
from broker.recorder.postgres.bases import Bases
from broker.recorder.postgres.claims import LOOK_S, Claims
from broker.recorder.postgres.housekeeping import HOUSE_S, Housekeeping
from broker.recorder.postgres.keeping import FleetKeeping
from broker.recorder.postgres.leases import Leases
from broker.recorder.postgres.link import Link, Links, given_up
from broker.recorder.postgres.moment import ServerClock, moment
from broker.recorder.postgres.primary import TROUBLE_S, UNCONFIRMED, Primary
from broker.recorder.postgres.rebases import Rebases
from broker.recorder.postgres.returning import Returning
from broker.recorder.postgres.rounds import PendingCommit, Rounds, StreamEnd
from broker.recorder.postgres.schema import migrate
from broker.recorder.postgres.server import ERRORS, check, connect, store_error
from broker.recorder.postgres.writing import Writing
from broker.records import Basis, Batch, Claim, Event, Lease
from quartet.clock import Clock
from quartet.errors import StoreError
from quartet.foreign import shown
from quartet.outage import Outage
from wire.metadata import StreamHeader

log = logging.getLogger(__name__)

Result = TypeVar("Result")

# How long a person's command may wait, and the end of a stream while nothing is recorded.
TICK_S = 1.0

# Questions of lines that are restored, and claims. More would take from the rounds.
_QUESTIONS = 4

# An agent waits as long for an answer, and then goes to another broker.
_QUESTION_S = 10.0

# A commit takes milliseconds. A server that takes so long at a stop is not waited for: systemd
# kills a broker that stops for 15 s, and calls have had 4 s of them.
_CLOSE_S = 5.0

# A round's statement has the same best plan however much is in it. To plan it for each round anew
# takes the server several times as long as the round: it would look at all that is in the arrays.
_PLAN_ONCE = "SET plan_cache_mode = force_generic_plan"

_UNREACHED = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)


class PostgresRecorder:
    """A Recorder in a database that many brokers share. Entered by its owner. Loop only.

    Each commit takes all that gathered during the one before. It is one statement: no transaction
    ever waits for a broker, which may be frozen. Whoever claims a line raises its epoch; a commit
    writes of those lines alone whose epoch and head are what its broker knows.
    """

    def __init__(
        self,
        url: str,
        digest: str,
        keeping: FleetKeeping,
        clock: Clock | None = None,
        *,
        generation: int = 0,
        look_s: float = LOOK_S,
        tick_s: float = TICK_S,
        house_s: float = HOUSE_S,
        trouble_s: float = TROUBLE_S,
    ) -> None:
        """`clock`: in place of the server's. `generation`: claims only what is no newer."""
        self._url = url
        self._digest = digest
        self._generation = generation
        self._keeping = keeping
        self._server_clock = None if clock else ServerClock()
        self._clock: Clock = clock or self._server_clock or time
        self._tick_s = tick_s
        self._bases = Bases(digest, replay=keeping.replay)
        self._leases = Leases()
        self._rebases = Rebases()
        self._links = Links(self._connect, _QUESTIONS)
        self._primary = Primary(url, self._connect_primary, self._clock, trouble_s=trouble_s)
        self._rounds = Rounds(self._primary, self._leases, self._writing, self._at)
        self._claims = Claims(self._leases, self._connect, generation, look_s=look_s)
        self._returning = Returning(self._leases)
        self._housekeeping = Housekeeping(
            self._links.borrowed, keeping, self._clock, every_s=house_s
        )
        self._reading = Outage(log, self._clock)
        self._ticking = Outage(log, self._clock)
        self._broker: brokers.Broker | None = None
        self._owner = 0
        self._undo = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Connect, prepare the database, and begin. StoreError where that cannot be."""
        async with AsyncExitStack() as undo:
            await self._primary.open()
            undo.push_async_callback(self._leave)
            await self._begin(await self._primary.link())
            rounds = asyncio.create_task(self._rounds.run())
            undo.push_async_callback(self._end_rounds, rounds)
            for each in (self._primary.keep(), self._tick(), self._housekeeping.run()):
                undo.push_async_callback(_cancelled, asyncio.create_task(each))
            self._undo = undo.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Commit what gathered, and leave."""
        self._rounds.close()
        await self._undo.aclose()

    async def _begin(self, link: Link) -> None:
        try:
            await self._look_at_clock(link)
            name = f"{socket.gethostname()} {os.getpid()}"
            now_ns = self._clock.time_ns()
            self._broker = await brokers.begin(link, name, now_ns, _QUESTION_S)
            self._owner = self._rounds.owner = self._claims.owner = self._broker.number
            await brokers.hold(link, self._owner)
            await partitions.make(link, moment(self._clock.time_ns()).date())
            told = await brokers.with_another_predictor(link, self._generation, self._digest)
            if told:
                log.warning("%s: %s", self._url, told)
        except UncertainError as error:
            raise StoreError(f"{self._url}: {UNCONFIRMED}") from error
        except _UNREACHED as error:
            raise store_error(self._url, error) from error

    async def _leave(self) -> None:
        """Live no longer: who asks the server after this finds this broker gone."""
        await asyncio.gather(self._links.leave(), self._primary.leave(), given_up())

    async def _end_rounds(self, rounds: asyncio.Task[None]) -> None:
        until_s = asyncio.get_running_loop().time() + _CLOSE_S
        done, _ = await asyncio.wait([rounds], timeout=_CLOSE_S)
        if not done:
            log.error("%s: the server does not answer: what is not committed is lost", self._url)
            await _cancelled(rounds)
            return
        with suppress(*_UNREACHED):
            async with asyncio.timeout_at(until_s), self._links.borrowed() as link:
                await self._returning.step(link)

    @property
    def trouble(self) -> str:
        """Why nothing can be recorded: there has been no server for a while."""
        return self._primary.trouble

    async def claim(self, header: StreamHeader | None, peer: str) -> Claim:
        """Take hold of a stream's line. Raises RecordError."""
        if header is None:
            self._rounds.check()
            return Claim(None, peer, Lease(token=1), None, has_records=False, keeps_state=False)
        claim, rebase = await self._ask(partial(self._claims.claim, header=header, peer=peer))
        self._rebases.claimed(header.agent_id, rebase)
        return claim

    def record(self, batch: Batch) -> PendingCommit:
        """Take a batch over; awaited, it returns when the batch is committed."""
        batch.arrived_at_ns = self._clock.time_ns()
        claim = batch.claim
        try:
            settled = self._rounds.record(batch)
        except RecordError as error:
            claim.lease.fail(error)
            return PendingCommit(None, claim.lease)
        if claim.header is None:
            self._returning.begins(claim.lease)
        elif batch.rebased_by:
            self._rebases.applied(claim.header.agent_id, batch.rebased_by, claim.lease)
        return PendingCommit(settled, claim.lease)

    async def answers(self, claim: Claim, first_id: int, count: int) -> Sequence[Answer]:
        """The recorded answers to `count` ids from `first_id` on. Raises RecordError."""
        header = claim.header
        if header is None:
            return ()
        answers = await self._ask(lambda link: questions.answers(link, header, first_id, count))
        claim.lease.check()
        return answers

    async def basis(self, agent_id: str, *, with_snapshot: bool) -> Basis:
        """What a line's black box is rebuilt from. Raises RecordError."""
        held, at = self._leases.of_agent(agent_id), self._at()
        return await self._ask(
            lambda link: self._bases.basis(link, agent_id, held, at, with_snapshot=with_snapshot)
        )

    async def samples(self, agent_id: str, after: int) -> Sequence[tuple[int, Sample]]:
        """The next samples behind a position, with theirs. Raises RecordError."""
        held = self._leases.of_agent(agent_id)
        if held and after >= held.head:
            return ()
        return await self._ask(lambda link: questions.samples(link, agent_id, after))

    def pending_rebase(self, claim: Claim) -> int:
        """The newest rebase command that is not applied yet, or 0."""
        return self._rebases.pending(claim.header.agent_id) if claim.header else 0

    def release(self, claim: Claim, ended: Event | None = None) -> None:
        """A stream has ended: its line may go from now on, where there is too much.

        How it ended goes into the next commit, and waits for one for a second at the most.
        """
        self._returning.release(claim)
        if claim.header and ended:
            self._rounds.release(StreamEnd(claim, self._clock.time_ns(), ended))

    # Connections

    async def _connect(self) -> Link:
        return Link(await connect(self._url))

    async def _connect_primary(self) -> Link:
        """One that has been looked at: after a failover, it is another server's.

        Who comes back has committed something: a server may answer, and confirm nothing.
        """
        connection = await connect(self._url)
        link = Link(connection)
        try:
            async with asyncio.timeout(_QUESTION_S):
                await check(connection, self._url, self._keeping.sync)
                await migrate(connection, self._url)
                await link.run(_PLAN_ONCE)
                if self._broker:
                    await brokers.hold(link, self._owner)
                    await brokers.come_back(link, self._broker, _QUESTION_S)
        except BaseException as error:
            link.give_up()
            if isinstance(error, UncertainError | TimeoutError):
                raise StoreError(f"{self._url}: {UNCONFIRMED}") from error
            if isinstance(error, ERRORS):
                raise store_error(self._url, error) from error
            raise
        return link

    async def _ask(self, ask: Callable[[Link], Awaitable[Result]]) -> Result:
        """Ask behind all that was recorded before. RecordError."""
        self._rounds.check()
        await self._rounds.settled()
        try:
            async with asyncio.timeout(_QUESTION_S), self._links.borrowed() as link:
                found = await ask(link)
        except RecordError as error:
            if not isinstance(error, UncertainError):
                raise
            failed: Exception = error
        except TimeoutError:
            failed = TimeoutError(f"the server does not answer within {_QUESTION_S:g} s")
        except _UNREACHED as error:
            failed = error
        else:
            self._reading.ended("records can be read again")
            return found
        self._reading.failed("records cannot be read, their streams are ended: %s", failed)
        raise RecordError(f"the broker cannot read its records: {shown(failed)}") from failed

    # What is done by itself

    def _writing(self) -> Writing:
        return Writing(self._digest, self._owner, self._keeping.gaps)

    def _at(self) -> datetime | None:
        return None if self._server_clock else moment(self._clock.time_ns())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._tick_s)
            try:
                self._rounds.flush()
                await self._rounds.settled()
                async with self._links.borrowed() as link:
                    async with asyncio.timeout(_QUESTION_S):
                        await self._step(link)
                    await self._forget(link)
            except (*_UNREACHED, RecordError) as error:
                self._ticking.failed("%s: commands cannot be read: %s", self._url, shown(error))
            else:
                self._ticking.ended("%s: commands are read again", self._url)

    async def _step(self, link: Link) -> None:
        await brokers.hold(link, self._owner)
        await self._look_at_clock(link)
        await brokers.beat(link, self._owner, _QUESTION_S)
        await self._returning.step(link)
        await self._rebases.look(link)

    async def _forget(self, link: Link) -> None:
        """Delete the records of agents that are to be forgotten: that may take long."""
        for agent_id in await commands.forgets(link):
            reason = f"'broker forget {agent_id}' deleted its records"
            self._leases.fail(agent_id, RecordError(reason))
            if await commands.forget(link, agent_id):
                log.info("%s: forgotten by 'broker forget': its records are deleted", agent_id)

    async def _look_at_clock(self, link: Link) -> None:
        if self._server_clock:
            self._server_clock.set((await link.ask("SELECT now()"))[0]["now"])


async def _cancelled(task: "asyncio.Task[Any]") -> None:
    """Cancel a task, and wait for its end."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
