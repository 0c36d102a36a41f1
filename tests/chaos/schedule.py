"""What goes wrong, and when: a pure function of the seed and of the kinds to choose from."""

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

# Each time is short against a person's patience and long against a reply deadline
# of 1 s, a spill after 0.5 s and a start of about 1 s.
_PAUSE_S = (0.3, 1.6)  # between one fault's begin and the next one's
_RECOVERY_S = (0.3, 2.0)  # for a part of the plant, until it is hit again


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: the parts of the plant that it occupies, and for how long."""

    name: str
    parts: frozenset[str]
    lasts_s: tuple[float, float]
    needs: str = ""
    """What must be there for it: "mounts" or "faketime"."""


def _kind(name: str, parts: str, shortest_s: float, longest_s: float, needs: str = "") -> Kind:
    return Kind(name, frozenset(parts.split()), (shortest_s, longest_s), needs)


KINDS = (
    _kind("kill-agent", "agent", 0.0, 1.0),
    _kind("stop-agent", "agent", 0.1, 1.0),
    _kind("kill-broker", "broker", 0.0, 1.5),
    _kind("stop-broker", "broker", 0.1, 1.5),
    _kind("kill-both", "agent broker", 0.0, 1.0),
    _kind("pause-agent", "agent", 0.2, 3.0),
    _kind("pause-broker", "broker", 0.2, 3.0),
    _kind("cut-power", "agent", 0.1, 1.0),
    _kind("corrupt-spool", "agent", 0.1, 0.5),
    _kind("cut-link", "link", 0.0, 0.0),
    _kind("stall-link", "link", 0.0, 0.0),
    _kind("delay-link", "link", 0.5, 3.0),
    _kind("throttle-link", "link", 0.5, 3.0),
    _kind("repeat-answers", "link", 1.0, 3.0),
    _kind("fill-agents-disk", "agents-disk", 2.0, 6.0, "mounts"),
    _kind("fill-brokers-disk", "brokers-disk", 2.0, 6.0, "mounts"),
    _kind("step-clock", "clock", 0.0, 0.0, "faketime"),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; times count from the begin of the run, `dice` seeds its details."""

    number: int
    kind: Kind
    begins_at_s: float
    lasts_s: float
    dice: int

    def __str__(self) -> str:
        return f"{self.number:4d}  {self.begins_at_s:7.2f} s  {self.kind.name} {self.lasts_s:.2f} s"


class Moment(NamedTuple):
    """The begin or the end of a fault."""

    at_s: float
    number: int
    ends: bool
    fault: Fault


def plan(random_: random.Random, count: int, kinds: Sequence[Kind]) -> list[Fault]:
    """Draw faults: each kind once before any comes again, and no part is hit twice at a time."""
    free_at_s = {part: 0.0 for kind in kinds for part in kind.parts}
    deck: list[Kind] = []
    faults: list[Fault] = []
    now_s = 0.0
    while len(faults) < count:
        deck = deck or random_.sample(kinds, len(kinds))
        now_s += random_.uniform(*_PAUSE_S)
        kind = min(deck, key=lambda each: max(now_s, _free(each.parts, free_at_s)))
        deck.remove(kind)
        now_s = max(now_s, _free(kind.parts, free_at_s))
        fault = Fault(
            len(faults) + 1, kind, now_s, random_.uniform(*kind.lasts_s), random_.getrandbits(32)
        )
        faults.append(fault)
        for part in kind.parts:
            free_at_s[part] = now_s + fault.lasts_s + random_.uniform(*_RECOVERY_S)
    return faults


def moments(faults: Collection[Fault]) -> Iterator[Moment]:
    """Give the begins and ends of all faults in their order."""
    begins = (Moment(fault.begins_at_s, fault.number, False, fault) for fault in faults)
    ends = (
        Moment(fault.begins_at_s + fault.lasts_s, fault.number, True, fault) for fault in faults
    )
    return iter(sorted((*begins, *ends), key=lambda moment: moment[:3]))


def _free(parts: Collection[str], free_at_s: dict[str, float]) -> float:
    return max(free_at_s[part] for part in parts)
