"""What a run of a fleet has left behind, and how its predictions should be."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle, islice

from support.peers import plain_stream
from support.processes import Broker

from chaos.evidence import (
    Evidence,
    Trail,
    agents_ledger,
    brokers_ledger,
    read_logbook,
    values_of,
)
from chaos.fleet.site import Site
from chaos.ledgers import Entry
from chaos.records import VALUES, Key, Recorded
from wire.databroker_pb2 import BrokerRequest
from wire.metadata import StreamHeader

_RECORDED = """
    SELECT agent_id, sessions.id, recorded.id, sensor1, sensor2, sensor3, sensor4, sampled_at_ns,
        recorded.prediction, (extract(epoch FROM arrived_at) * 1000000)::bigint * 1000, position
    FROM recorded JOIN sessions USING (session) JOIN lines ON lines.line = recorded.line
    ORDER BY recorded.line, position
"""

# What no agent of a run has had a hand in, or what is torn off from its samples.
_STRAYS = {
    "lines of nobody": "SELECT 1 FROM lines WHERE agent_id IS NULL",
    "samples of no session, or of another line's": """
        SELECT 1 FROM recorded LEFT JOIN sessions USING (session)
        WHERE sessions.line IS DISTINCT FROM recorded.line""",
    "snapshots behind the last sample": """
        SELECT 1 FROM snapshots JOIN lines USING (line) WHERE position > head""",
    "explanations of no sample": """
        SELECT 1 FROM explanations LEFT JOIN recorded USING (line, position)
        WHERE recorded.line IS NULL""",
    "gaps": "SELECT 1 FROM gaps",
    "commands": "SELECT 1 FROM commands",
}


@dataclass(frozen=True, slots=True)
class FleetEvidence:
    """All that the verdict rests on."""

    common: Evidence
    positions: dict[str, list[int]]
    """Of the samples of each agent in the store, in rising order."""
    heads: dict[str, int]
    """By agent, where its line ends, as the store has it."""
    strays: dict[str, int]
    """How many rows are in the store that should not be, by kind."""
    woken: list[tuple[str, str, bool]]
    """Brokers that woke, agents that others had taken over, and whether a commit was refused."""
    undisturbed: dict[Key, bool]
    """The predictions of a run in which nothing went wrong."""


def gather(site: Site, predictor: str) -> FleetEvidence:
    """Read it all, once the site has come to its end. NoEvidenceError where that fails."""
    ledger = brokers_ledger(site, ["--store", site.database.url])
    recorded: dict[str, list[Recorded]] = {}
    positions: dict[str, list[int]] = {}
    for (
        agent_id,
        session_id,
        id_,
        *values,
        at_ns,
        prediction,
        arrived_ns,
        position,
    ) in site.database.select(_RECORDED):
        key = Key(session_id, id_)
        each = Recorded(key, VALUES.pack(*values), at_ns, prediction, arrived_ns)
        recorded.setdefault(agent_id, []).append(each)
        positions.setdefault(agent_id, []).append(position)
    trails = [
        Trail(
            agent_id=device.agent_id,
            rows=values_of(device),
            logged=read_logbook(device.logbook),
            recorded=recorded.get(device.agent_id, []),
            agent=agents_ledger(site, device),
            broker=[each for each in ledger.sessions if each.agent_id == device.agent_id],
            is_chained=predictor.startswith("chaos."),
        )
        for device in site.devices
    ]
    with Broker("--predictor", predictor, env=site.env) as broker:
        undisturbed = asyncio.run(_undisturbed(broker.address, trails))
    heads = site.database.select("SELECT agent_id, head FROM lines WHERE agent_id IS NOT NULL")
    return FleetEvidence(
        Evidence(trails, site.complaints),
        positions,
        dict(heads),
        {what: len(site.database.select(query)) for what, query in _STRAYS.items()},
        [(each.member.role.name, each.agent_id, each.is_refused) for each in site.woken],
        undisturbed,
    )


async def _undisturbed(address: str, trails: Iterable[Trail]) -> dict[Key, bool]:
    """Ask one broker, to which nothing happens, the same: each agent's sessions in their order."""

    async def line(trail: Trail) -> dict[Key, bool]:
        predictions: dict[Key, bool] = {}
        for entry in sorted(trail.agent.sessions, key=lambda each: each.sequence):
            predictions |= await _session(address, trail, entry)
        return predictions

    lines = await asyncio.gather(*map(line, trails))
    return {key: answer for each in lines for key, answer in each.items()}


async def _session(address: str, trail: Trail, entry: Entry) -> dict[Key, bool]:
    header = StreamHeader(trail.agent_id, entry.session_id, 0, 0, 0)
    async with plain_stream(address, header.to_metadata()) as call:

        async def send() -> None:
            for id_, row in enumerate(islice(cycle(trail.rows), entry.sampled)):
                one, two, three, four = VALUES.unpack(row)
                request = BrokerRequest(
                    id=id_, sensor1=one, sensor2=two, sensor3=three, sensor4=four
                )
                await call.write(request)
            await call.done_writing()

        sending = asyncio.create_task(send())
        answers = {Key(entry.session_id, each.id): each.prediction async for each in call}
        await sending
        return answers
