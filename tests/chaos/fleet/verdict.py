"""Whether a fleet has kept what was promised, as if it had been one broker that never failed."""

from collections.abc import Iterator

from chaos.evidence import Trail
from chaos.fleet.evidence import FleetEvidence
from chaos.verdict import Verdict, judge, shown


def judge_fleet(evidence: FleetEvidence) -> Verdict:
    """Judge what the agents got, what the store has, and all ledgers."""
    common = judge(evidence.common)
    accusations = [*common.accusations]
    for trail in evidence.common.trails:
        accusations += (f"{trail.agent_id}: {each}" for each in _of_agent(trail, evidence))
    accusations += (
        f"{count} {what} in the store" for what, count in evidence.strays.items() if count
    )
    accusations += (
        f"{broker} woke, and was not refused the line of {agent_id}"
        for broker, agent_id, is_refused in evidence.woken
        if not is_refused
    )
    strangers = evidence.heads.keys() - {trail.agent_id for trail in evidence.common.trails}
    accusations += (f"{agent_id} is in the store, and is no agent" for agent_id in strangers)
    return Verdict(accusations, common.unjudged)


def _of_agent(trail: Trail, evidence: FleetEvidence) -> Iterator[str]:
    undisturbed = evidence.undisturbed
    answered = {key: loggings[-1].prediction for key, loggings in trail.logged.items()}
    yield from shown(
        "answered otherwise than in an undisturbed run",
        (key for key, answer in answered.items() if undisturbed.get(key) != answer),
    )
    sessions = {entry.session_id for entry in trail.agent.sessions}
    yield from shown(
        "without an answer, which an undisturbed run gives",
        (key for key in undisturbed if key.session_id in sessions and key not in answered),
    )
    positions = evidence.positions.get(trail.agent_id, [])
    head = evidence.heads.get(trail.agent_id, 0)
    if positions != [*range(1, head + 1)]:
        yield f"its line ends at {head}, and the {len(positions)} positions are not 1 to {head}"
    for entry in trail.broker:
        if entry.gaps:
            yield f"session {entry.session_id[:8]}: the broker counts {entry.gaps} gaps"
