"""The brokers: how far a connection comes, and whether a stream of this agent would be admitted."""

import asyncio
import time
from typing import TYPE_CHECKING

from agent.check.findings import Finding, Findings, failed, passed
from agent.config import Settings
from agent.identity import identity
from agent.reason import Reason, UnreachedError
from quartet.address import Address
from quartet.clock import Clock

if TYPE_CHECKING:
    from grpc.aio import Channel

    from agent.reach.names import Names
    from agent.reach.questions import Objection, Questions
    from agent.reach.way import Way

# For a connection with its handshakes: a firewall that drops never answers.
_PATIENCE_S = 3.0

# For all stages together, and for all brokers, as they are asked at the same time: with the other
# checks it is to be 10 s at the most. A name server that is away costs 5 s, before the next is
# asked.
MOST_S = 5.5

# Of that time, for the name.
_NAME = 0.9

# For a connection and an answer, if the connection took all of its own time.
_WITH_ANSWER = 1.5

# How a broker may refuse a stream for what it does not say. Any other status is trouble.
_REFUSALS = ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "PERMISSION_DENIED", "UNAUTHENTICATED")

# What a stage has if those before it took all the time: enough to be told as what it is.
_LEAST_S = 0.1


class Budget:
    """The time that the stages of a check share."""

    def __init__(self, clock: Clock, most_s: float, patience_s: float) -> None:
        self._clock = clock
        self._until_s = clock.monotonic() + most_s
        self._name_s = _NAME * most_s
        self._patience_s = patience_s

    def for_name(self) -> float:
        """Seconds for the addresses of a name, from now."""
        return self._left(self._name_s)

    def for_connection(self) -> float:
        """For a connection with its handshakes: less than for that and an answer together."""
        return self._left(self._patience_s, 1 / _WITH_ANSWER)

    def for_answer(self) -> float:
        """For an answer, and a connection before it that took all of its own time."""
        return self._left(_WITH_ANSWER * self._patience_s)

    def _left(self, most_s: float, part: float = 1.0) -> float:
        left_s = part * (self._until_s - self._clock.monotonic())
        return max(_LEAST_S, round(min(most_s, left_s), 1))


def check_brokers(
    settings: Settings,
    patience_s: float = _PATIENCE_S,
    most_s: float = MOST_S,
    *,
    names: "Names | None" = None,
    clock: Clock = time,
) -> Findings:
    """Each broker: name, connection, TLS, HTTP/2, health, admission; how far it came.

    By the way that the stream goes: many that do not answer take no longer than one. A name with
    several addresses, none of which is reached, takes a second more than `most_s`.
    """
    budget = Budget(clock, most_s, patience_s)
    yield from asyncio.run(_check(settings, budget, names))


async def _check(settings: Settings, budget: Budget, names: "Names | None") -> list[Finding]:
    from agent.credentials.opening import open_credentials  # noqa: PLC0415 - half a second on a Pi
    from agent.reach.questions import Questions  # noqa: PLC0415 - as above
    from agent.reach.way import Way  # noqa: PLC0415 - as above

    agent_id = identity(settings).agent_id
    credentials = open_credentials(settings.tls)
    way = Way(credentials, settings.link.keepalive_s, settings.broker.via, names)
    questions = Questions(way, agent_id)
    answers = f"answers{' by TLS' if settings.tls else ''}"

    async def check(address: Address) -> Finding:
        try:
            untested = await _admitted(way, questions, address, budget)
        except UnreachedError as error:
            return failed("broker", f"{address}: {error.reason.text}", error.reason.remedy)
        if untested:
            return passed("broker", f"{address} {answers}; admission not tested: {untested}")
        return passed("broker", f"{address} {answers}, and would admit {agent_id}")

    return await asyncio.gather(*map(check, settings.broker.addresses))


async def _admitted(way: "Way", questions: "Questions", address: Address, budget: Budget) -> str:
    """Empty: a stream would be admitted; otherwise why nobody can tell. UnreachedError: neither."""
    from agent.reach.questions import Connection  # noqa: PLC0415 - half a second on a Pi

    await way.find(address, budget.for_name())
    connection_s = budget.for_connection()

    def on(channel: "Channel") -> Connection:
        return Connection(address, channel, connection_s, budget.for_answer())

    async with way.to_found(address, connection_s) as channel:
        if objection := await questions.health(on(channel)):
            if objection.is_unknown_method:
                raise UnreachedError(_foreign(objection.reason, "health service"))
            raise UnreachedError(objection.reason)
        objection = await questions.admission(on(channel))
        if objection is None:
            return ""
        if not objection.is_unknown_method:
            raise UnreachedError(objection.reason)
        return _untested(await questions.streams(on(channel)))


def _untested(objection: "Objection | None") -> str:
    """Why nobody can tell, by how a stream without a name ended. UnreachedError: as no broker's."""
    if objection is None:
        return "it cannot be asked"
    if objection.is_unknown_method:
        raise UnreachedError(_foreign(objection.reason, "service for samples"))
    if objection.is_its_word and objection.code.name in _REFUSALS:
        return f"it cannot be asked, and refuses a stream without a name ({objection.reason.text})"
    raise UnreachedError(objection.reason)


def _foreign(reason: Reason, missing: str) -> Reason:
    text = f"it answers as a gRPC server, and has no {missing}: this is not a Quartet broker"
    return Reason(reason.stage, text, "check broker.address")
