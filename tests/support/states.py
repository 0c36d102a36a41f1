"""States of an agent, as a test needs them."""

from typing import Any

from agent.sources import LABELS
from agent.state import Latest, LinkState, State

NOW_NS = 1_714_564_800_000_000_000  # 2024-05-01 12:00 UTC


def before_ns(seconds: float) -> int:
    return NOW_NS - round(seconds * 1e9)


def latest(value: bool = False, *, id_: int = 7, age_s: float = 0.0) -> Latest:
    return Latest("0123456789abcdef" * 2, id_, before_ns(age_s), value)


def state(**changes: Any) -> State:
    """One that streams, with what a test changes of it."""
    given: dict[str, Any] = {
        "at_ns": NOW_NS,
        "agent_id": "press-4",
        "broker": "bench:8061",
        "link": LinkState.STREAMING,
        "link_since_ns": before_ns(200),
        "link_trouble": "",
        "waiting": 0,
        "prediction": None,
        "learning": None,
        "alarm_since_ns": None,
        "alarm_reason": "",
        "sensors": LABELS,
        "source_trouble": "",
        "spool_trouble": "",
        "output": "",
    }
    return State(**given | changes)
