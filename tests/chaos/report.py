"""A run in figures."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from chaos.evidence import Evidence
from chaos.schedule import Fault
from chaos.verdict import excused

_OUTAGE = re.compile(r"streaming to \S+, after ([\d.]+) s")


def summary(faults: Sequence[Fault], evidence: Evidence, logs: Path, took_s: float) -> str:
    """A table for a person."""
    outages_s = [
        float(match[1])
        for log in logs.glob("agent-*.log")
        for match in _OUTAGE.finditer(log.read_text())
    ]
    sessions = evidence.agent.sessions
    # Of a session that power cut short the books know less than the broker.
    sampled = {entry.session_id: entry.sampled for entry in sessions}
    for session_id, id_ in evidence.logged:
        sampled[session_id] = max(sampled.get(session_id, 0), id_ + 1)
    figures = {
        **dict(sorted(Counter(fault.kind.name for fault in faults).items())),
        "faults": len(faults),
        "samples": sum(sampled.values()),
        "predictions": len(evidence.logged),
        "logged again": sum(len(loggings) - 1 for loggings in evidence.logged.values()),
        "lost, as booked": sum(excused(entry).count for entry in sessions),
        "sessions": len(sessions),
        "cut by power": sum(entry.power_lost for entry in sessions),
        "reconnects": len(outages_s),
        "longest outage": f"{max(outages_s, default=0.0):.1f} s",
        "duplicates": sum(entry.duplicates for entry in evidence.broker.sessions),
        "gaps": sum(entry.gaps for entry in evidence.broker.sessions),
        "duration": f"{took_s:.0f} s",
    }
    return "\n" + "\n".join(f"{name:<18}{figure:>9}" for name, figure in figures.items())
