"""The brokers: how far a connection comes, and whether a stream of this agent would be admitted."""

import asyncio
from typing import TYPE_CHECKING

from agent.check.findings import Finding, Findings, failed, passed
from agent.config import Settings
from agent.identity import identity
from agent.reason import Reason, UnreachedError
from quartet.address import Address

if TYPE_CHECKING:
    from agent.reach.questions import Questions
    from agent.reach.way import Way

# For a connection with its handshakes: a firewall that drops never answers.
_PATIENCE_S = 3.0

# For all of it, and for all brokers, as they are asked at the same time: with the other checks
# it is to be 10 s at the most. A name server that is away costs 5 s, before the next is asked.
_MOST_S = 5.5

# Of that time, for the name.
_NAME = 0.9


def check_brokers(
    settings: Settings, patience_s: float = _PATIENCE_S, most_s: float = _MOST_S
) -> Findings:
    """Each broker: name, connection, TLS, HTTP/2, health, admission; how far it came.

    By the way that the stream goes: many that do not answer take no longer than one.
    """
    yield from asyncio.run(_check(settings, patience_s, most_s))


async def _check(settings: Settings, patience_s: float, most_s: float) -> list[Finding]:
    from agent.credentials.opening import open_credentials  # noqa: PLC0415 - half a second on a Pi
    from agent.reach.questions import Questions  # noqa: PLC0415 - as above
    from agent.reach.way import Way  # noqa: PLC0415 - as above

    agent_id = identity(settings).agent_id
    credentials = open_credentials(settings.tls)
    way = Way(credentials, settings.link.keepalive_s, settings.broker.via)
    questions = Questions(way, agent_id)
    answers = f"answers{' by TLS' if settings.tls else ''}"

    async def check(address: Address) -> Finding:
        try:
            async with asyncio.timeout(most_s):
                admitted = await _admitted(way, questions, address, patience_s, _NAME * most_s)
        except TimeoutError:
            text = f"it is not reached within {most_s:g} s"
            return _failed(address, text, "check the name server, this network and that machine")
        except UnreachedError as error:
            return _failed(address, error.reason.text, error.reason.remedy)
        if admitted:
            return passed("broker", f"{address} {answers}, and would admit {agent_id}")
        return passed("broker", f"{address} {answers}; admission not tested: it cannot be asked")

    return await asyncio.gather(*map(check, settings.broker.addresses))


async def _admitted(
    way: "Way", questions: "Questions", address: Address, patience_s: float, name_s: float
) -> bool:
    """True: a stream would be admitted; False: this broker cannot be asked. Else UnreachedError."""
    async with await way.channel(address, patience_s, name_s) as channel:
        if objection := await questions.health(channel, patience_s):
            if objection.is_unknown_method:
                raise UnreachedError(_foreign(objection.reason, "health service"))
            raise UnreachedError(await questions.furthest(address, objection.reason, patience_s))
        objection = await questions.admission(channel, patience_s)
        if objection is None:
            return True
        if not objection.is_unknown_method:
            raise UnreachedError(objection.reason)
        if not await questions.has_streams(channel, patience_s):
            raise UnreachedError(_foreign(objection.reason, "service for samples"))
        return False


def _foreign(reason: Reason, missing: str) -> Reason:
    text = f"it answers as a gRPC server, and has no {missing}: this is not a Quartet broker"
    return Reason(reason.stage, text, "check broker.address")


def _failed(address: Address, text: str, remedy: str) -> Finding:
    return failed("broker", f"{address}: {text}", remedy)
