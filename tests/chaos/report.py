"""A run in figures."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from chaos.evidence import Evidence, Trail
from chaos.schedule import Fault
from chaos.verdict import Verdict

_OUTAGE = re.compile(r"streaming to \S+, after ([\d.]+) s")


def summary(
    faults: Sequence[Fault], evidence: Evidence, verdict: Verdict, home: Path, took_s: float
) -> str:
    """A table for a person."""
    outages_s = [
        float(match[1])
        for log in home.glob("*/logs/agent-*.log")
        for match in _OUTAGE.finditer(log.read_text())
    ]
    trails = evidence.trails
    entries = [entry for trail in trails for entry in trail.agent.sessions]
    accounts = [account for trail in trails for account in trail.broker]
    loggings = [loggings for trail in trails for loggings in trail.logged.values()]
    kinds = Counter(fault.kind.name for fault in faults)
    figures = {
        **dict(sorted(kinds.items())),
        "faults": len(faults),
        "samples": sum(map(_sampled, trails)),
        "predictions": len(loggings),
        "logged again": sum(len(each) - 1 for each in loggings),
        "lost, as booked": sum(entry.excused.count for entry in entries),
        "not on record": sum(_unrecorded(trail) for trail in trails),
        "not judged": verdict.unjudged,
        "sessions": len(entries),
        "cut by power": sum(entry.power_lost for entry in entries),
        "reconnects": len(outages_s),
        "longest outage": f"{max(outages_s, default=0.0):.1f} s",
        "duplicates": sum(account.duplicates for account in accounts),
        "gaps": sum(account.gaps for account in accounts),
        "duration": f"{took_s:.0f} s",
    }
    return "\n" + "\n".join(f"{name:<30}{figure:>9}" for name, figure in figures.items())


def _sampled(trail: Trail) -> int:
    """Of a session that power cut short the books know less than the broker."""
    sampled = {entry.session_id: entry.sampled for entry in trail.agent.sessions}
    for session_id, id_ in trail.logged:
        sampled[session_id] = max(sampled.get(session_id, 0), id_ + 1)
    return sum(sampled.values())


def _unrecorded(trail: Trail) -> int:
    return len(trail.logged.keys() - {recorded.key for recorded in trail.recorded})
