"""What agents and brokers have said in their logs, as far as the verdict goes by it."""

import bisect
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

# What a broker says of a record that does not verify, or of a store that is not whole.
_STAMP = r"^(?P<s>\S+ \S+),(?P<ms>\d+) "
_DAMAGE = re.compile(_STAMP + "(?:WARNING|ERROR) .*(?:damaged|checksum|does not verify)")
_RESTORED = re.compile(_STAMP + r"INFO +(?P<agent>\S+): predictor restored")

IS_UP = "streaming to|no connection to"
"""With its spool open, an agent has a link, or says that it has none."""

# What an agent says where neither directory takes a sample, nor its register an id; and then.
_UNKEPT = "ERROR   neither directory of the spool can be written"
_KEPT = "INFO    samples are stored safely again"
_UNNOTED = "/spool.ids: cannot be written: "
_NOTED = "/spool.ids: can be written again"


@dataclass(frozen=True, slots=True)
class BrokersWords:
    """By the broker's own stamps, in Unix ns."""

    damage_ns: list[int] = field(default_factory=list)
    """When damage was told."""
    restored: dict[str, list[int]] = field(default_factory=dict)

    def restored_ns(self, agent_id: str) -> list[int]:
        """When the black box of an agent was rebuilt, in rising order."""
        return sorted(self.restored.get(agent_id, []))


def brokers_words(logs: Path) -> BrokersWords:
    """Those of all brokers that have run."""
    words = BrokersWords()
    for log in logs.glob("broker-*.log"):
        for line in log.read_text().splitlines():
            if match := _DAMAGE.match(line):
                words.damage_ns.append(_stamped_ns(match))
            elif match := _RESTORED.match(line):
                words.restored.setdefault(match["agent"], []).append(_stamped_ns(match))
    return words


def first_since(told_ns: Iterable[int], restored_ns: list[int]) -> list[int]:
    """Each word, and the first rebuilding behind it; of nothing, which is not logged, as well."""
    found = {bisect.bisect_left(restored_ns, at_ns) for at_ns in told_ns}
    return sorted({*told_ns, *(restored_ns[at] for at in found if at < len(restored_ns))})


def homeless_starts(logs: Path) -> frozenset[int]:
    """The starts of an agent that, by its own words, had nothing on file from begin to end."""
    return frozenset(
        int(log.stem.rpartition("-")[2])
        for log in logs.glob("agent-*.log")
        if _is_homeless(log.read_text())
    )


def _is_homeless(said: str) -> bool:
    """Whether it noted no id before it was up, kept no sample, and took back neither word."""
    before_up = re.split(IS_UP, said, maxsplit=1)[0]
    is_taken_back = _KEPT in said or _NOTED in said
    return _UNNOTED in before_up and _UNKEPT in said and not is_taken_back


def _stamped_ns(match: re.Match[str]) -> int:
    at_s = round(datetime.fromisoformat(match["s"]).timestamp())
    return at_s * 10**9 + int(match["ms"]) * 10**6
