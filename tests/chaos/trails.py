"""Trails of runs in which every promise was kept, and what may have been changed in them."""

import itertools
from dataclasses import replace
from typing import Any

import msgspec

from chaos.evidence import Evidence, Trail
from chaos.ledgers import AgentLedger, BrokerEntry, Entry
from chaos.predictors import after, says
from chaos.records import VALUES, Key, Logging, Recorded
from chaos.verdict import judge as judge_all

FIRST, SECOND = "a" * 32, "b" * 32
COUNT = 40
ROWS = [VALUES.pack(n, -n, n / 7, 0.0) for n in range(30)]

# One sample a second, and each answer is logged at once; long before that the first backup was.
SECOND_NS = 1_000_000_000
BEGIN_NS = 10_000 * SECOND_NS


def at_ns(session_id: str, id_: int) -> int:
    return BEGIN_NS + (id_ + COUNT * (session_id == SECOND)) * SECOND_NS


def judge(trail: Trail, *complaints: str) -> list[str]:
    return judge_all(Evidence([trail], [*complaints])).accusations


def entry(session_id: str, sequence: int) -> Entry:
    return Entry(session_id, sequence, COUNT, COUNT, 0, [], {}, power_lost=False)


def broker_entry(recorded: list[Recorded], session_id: str) -> BrokerEntry:
    ids = {each.key.id for each in recorded if each.key.session_id == session_id}
    last_id = max(ids)
    missing = [(id_, id_) for id_ in range(last_id + 1) if id_ not in ids]
    return BrokerEntry("a", session_id, 0, last_id, len(ids), len(ids), 0, len(missing), missing)


def kept(skipped: tuple[Key, ...] = ()) -> Trail:
    """Of a run in which every promise was kept, though these samples never came."""
    recorded, state = [], b""
    for session_id, id_ in itertools.product((FIRST, SECOND), range(COUNT)):
        if (key := Key(session_id, id_)) not in skipped:
            values = ROWS[id_ % len(ROWS)]
            state = after(state, id_, values)
            at = at_ns(*key)
            recorded.append(Recorded(key, values, 1000 * id_, says(state), at))
    return Trail(
        agent_id="a",
        rows=ROWS,
        logged={
            each.key: [Logging(each.prediction, each.sampled_at_ns, each.arrived_at_ns)]
            for each in recorded
        },
        recorded=recorded,
        agent=AgentLedger(balanced=True, sessions=[entry(FIRST, 1), entry(SECOND, 2)]),
        broker=[broker_entry(recorded, id_) for id_ in (FIRST, SECOND)],
    )


def with_first(trail: Trail, **changes: object) -> Trail:
    first = msgspec.structs.replace(trail.agent.sessions[0], **changes)
    sessions = [first, *trail.agent.sessions[1:]]
    return replace(trail, agent=msgspec.structs.replace(trail.agent, sessions=sessions))


def swapped(trail: Trail, one: int, other: int) -> Trail:
    recorded = list(trail.recorded)
    recorded[one], recorded[other] = recorded[other], recorded[one]
    return replace(trail, recorded=recorded)


def changed(trail: Trail, at: int, **changes: Any) -> Trail:
    recorded = list(trail.recorded)
    recorded[at] = recorded[at]._replace(**changes)
    return replace(trail, recorded=recorded)


def logged(trail: Trail, key: Key, *loggings: Logging) -> Trail:
    rest = {each: found for each, found in trail.logged.items() if each != key}
    return replace(trail, logged=rest | ({key: list(loggings)} if loggings else {}))


def as_logged(trail: Trail, key: Key, **changes: Any) -> Logging:
    return trail.logged[key][0]._replace(**changes)
