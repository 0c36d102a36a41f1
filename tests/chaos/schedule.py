"""What goes wrong, and when: a pure function of the seed and of the kinds to choose from."""

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

# Each time is short against a person's patience and long against a reply deadline
# of 1 s, a spill after 0.5 s and a start of about 1 s.
_PAUSE_S = (0.2, 1.2)  # between one fault's begin and the next one's
_RECOVERY_S = (0.3, 2.0)  # for a part of the plant, until it is hit again

# So many of the faults come at the same moment as the one before.
_TOGETHER = 0.1

SHARED = {"broker", "store", "strangers", "database"}
"""The parts of which there is one; each agent, or each broker of a fleet, has the others."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: the parts of the plant that it occupies, and for how long."""

    name: str
    parts: frozenset[str]
    lasts_s: tuple[float, float]
    needs: str = ""
    """What must be there for it: "mounts" or "faketime"."""
    of: str = "agent"
    """What it hits one of, where it does not hit a shared part."""

    def places(self, device: int) -> set[tuple[str, int]]:
        """The parts that it occupies, where it hits this device."""
        return {(part, -1 if part in SHARED else device) for part in self.parts}


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
    _kind("cut-power", "agent hot", 0.1, 1.0),
    _kind("step-clock", "clock", 0.0, 0.0, "faketime"),
    _kind("cut-link", "link", 0.0, 0.0),
    _kind("stall-link", "link", 0.0, 0.0),
    _kind("delay-link", "link", 0.5, 3.0),
    _kind("throttle-link", "link", 0.5, 3.0),
    _kind("repeat-answers", "link", 1.0, 3.0),
    _kind("invent-agents", "strangers", 0.0, 0.0),
    _kind("corrupt-spool", "agent disk", 0.1, 0.5),
    _kind("flip-spool-bits", "agent disk hot", 0.1, 0.5),
    _kind("fill-hot-directory", "hot", 1.0, 5.0, "mounts"),
    _kind("exhaust-hot-inodes", "hot", 1.0, 5.0, "mounts"),
    _kind("fill-agents-disk", "disk", 2.0, 6.0, "mounts"),
    _kind("exhaust-agents-inodes", "disk", 2.0, 6.0, "mounts"),
    _kind("fill-both-directories", "hot disk", 1.0, 5.0, "mounts"),
    _kind("empty-hot-directory", "agent hot", 0.5, 2.0),
    _kind("remove-hot-directory", "agent hot", 0.5, 2.0),
    _kind("empty-agents-disk", "agent disk", 0.5, 2.0),
    _kind("remove-agents-disk", "agent disk", 0.5, 2.0),
    _kind("remove-both-directories", "agent hot disk", 0.5, 2.0),
    _kind("replace-spool", "agent disk", 0.5, 3.0),
    _kind("remount-hot-read-only", "agent hot", 1.0, 3.0, "mounts"),
    _kind("remount-agents-disk-read-only", "agent disk", 1.0, 3.0, "mounts"),
    _kind("fill-brokers-disk", "store", 2.0, 6.0, "mounts"),
    _kind("exhaust-brokers-inodes", "store", 2.0, 6.0, "mounts"),
    _kind("remove-store", "broker store", 0.5, 2.0),
    _kind("remove-store-log", "broker store", 0.5, 2.0),
    _kind("replace-store", "broker store", 0.5, 3.0),
    _kind("damage-store-page", "broker store", 1.0, 4.0),
    _kind("flip-store-bits", "broker store", 0.5, 3.0),
    _kind("restore-backup", "broker store", 0.5, 4.0),
    _kind("copy-store-back", "broker store", 0.5, 3.0),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; times count from the begin of the run, `dice` seeds its details."""

    number: int
    kind: Kind
    device: int
    """The number of the agent that it hits, or of the broker in a fleet."""
    begins_at_s: float
    lasts_s: float
    dice: int

    def __str__(self) -> str:
        whom = "" if self.kind.parts <= SHARED else f" of {self.kind.of} {self.device + 1}"
        return (
            f"{self.number:4d}  {self.begins_at_s:7.2f} s  {self.kind.name}{whom}"
            f" {self.lasts_s:.2f} s"
        )


class Moment(NamedTuple):
    """The begin or the end of a fault."""

    at_s: float
    number: int
    ends: bool
    fault: Fault


def plan(random_: random.Random, count: int, kinds: Sequence[Kind], devices: int) -> list[Fault]:
    """Draw faults: each kind once before any comes again, and no part is hit twice at a time."""
    free_at_s: dict[tuple[str, int], float] = {}

    def free(kind: Kind, device: int) -> float:
        return max(now_s, *(free_at_s.get(place, 0.0) for place in kind.places(device)))

    deck: list[Kind] = []
    faults: list[Fault] = []
    now_s = 0.0
    while len(faults) < count:
        deck = deck or random_.sample(kinds, len(kinds))
        if not faults or random_.random() >= _TOGETHER:
            now_s += random_.uniform(*_PAUSE_S)
        device = random_.randrange(devices)
        kind = min(deck, key=lambda each: free(each, device))
        deck.remove(kind)
        now_s = free(kind, device)
        lasts_s = random_.uniform(*kind.lasts_s)
        faults.append(Fault(len(faults) + 1, kind, device, now_s, lasts_s, random_.getrandbits(32)))
        for place in kind.places(device):
            free_at_s[place] = now_s + lasts_s + random_.uniform(*_RECOVERY_S)
    return faults


def moments(faults: Collection[Fault]) -> Iterator[Moment]:
    """Give the begins and ends of all faults in their order."""
    begins = (Moment(fault.begins_at_s, fault.number, False, fault) for fault in faults)
    ends = (
        Moment(fault.begins_at_s + fault.lasts_s, fault.number, True, fault) for fault in faults
    )
    return iter(sorted((*begins, *ends), key=lambda moment: moment[:3]))
