"""Whether a line's answers are those of a black box that saw its samples in order.

The black box chains a hash: one sample lost, doubled, moved or changed makes half of all later
answers wrong. Where damage was told, or records are missing and named, it may have begun again
from an earlier state: from one that it has had, or from the records that are left, and from no
other.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from chaos.predictors import after, says
from chaos.records import Key, Recorded

# By luck a wrong state gives the right answer every other time: a break may lie as far back.
_MOST_UNSEEN = 64

# A word and a record of one process are stamped in the order in which they came, or nearly so.
_STAMPS_OFF_NS = 2_000_000_000

_FRESH = b""


@dataclass(frozen=True, slots=True)
class Breaks:
    """Where a line may have gone on from another state."""

    told_ns: Sequence[int] = ()
    """Unix ns: when damage was told, of which the line may have begun again."""
    is_named: Callable[[Key], bool] = field(default=lambda _: False)
    """Whether a ledger names a sample as missing."""
    last_ids: Mapping[str, int] = field(default_factory=dict)
    """The last ids of sessions, by the broker's ledger."""
    rows: Sequence[bytes] = ()
    """The values of samples: of id n, those of row n, and round again."""

    def told_before(self, former: Recorded | None, latter: Recorded) -> bool:
        """Whether a word came between two records: then the line opened, and began again."""
        before_ns = former.arrived_at_ns if former else 0
        return any(
            before_ns - _STAMPS_OFF_NS <= told_ns <= latter.arrived_at_ns + _STAMPS_OFF_NS
            for told_ns in self.told_ns
        )

    def missing(self, former: Recorded | None, latter: Recorded) -> list[Key]:
        """The named samples that are missing between two records, in their order."""
        session_id, id_ = latter.key
        begin, between = 0, list[Key]()
        if former and former.key.session_id == session_id:
            begin = former.key.id + 1
        elif former:
            last_id = self.last_ids.get(former.key.session_id, former.key.id)
            between += (
                Key(former.key.session_id, id_) for id_ in range(former.key.id + 1, last_id + 1)
            )
        between += (Key(session_id, each) for each in range(begin, id_))
        return [key for key in between if self.is_named(key)]


def misjudged(recorded: Sequence[Recorded], breaks: Breaks) -> Iterator[Key]:
    """The samples of a line, in its order, whose answers nothing explains."""
    states = [_FRESH]  # that the black box may have now; mostly one
    history = [_FRESH]  # its state after each sample
    for at, each in enumerate(recorded):
        found = _fitting(states, each) or _resumed(recorded[: at + 1], history, breaks)
        if not found:
            yield each.key
            found = [_next(history[-1], each)]  # as if it had answered rightly
        states = found
        history.append(states[0])


def _resumed(recorded: Sequence[Recorded], history: Sequence[bytes], breaks: Breaks) -> list[bytes]:
    """The states after the last of these, of black boxes that began again at an allowed place."""
    resumed: set[bytes] = set()
    replays = _replays(recorded, history, breaks)
    for begin in range(max(0, len(recorded) - _MOST_UNSEEN), len(recorded)):
        former, latter = recorded[begin - 1] if begin else None, recorded[begin]
        missing = breaks.missing(former, latter)
        if not (missing or breaks.told_before(former, latter)):
            continue
        survivors = [*{*history[: begin + 1], *(replay[begin] for replay in replays)}]
        survivors.append(_over(missing, history[begin], breaks.rows))
        for each in recorded[begin:]:
            survivors = _fitting(survivors, each)
        resumed.update(survivors)
    return sorted(resumed)


def _replays(
    recorded: Sequence[Recorded], history: Sequence[bytes], breaks: Breaks
) -> list[list[bytes]]:
    """The states before each sample, of black boxes that saw what is left on record.

    From the begin on; and from each place where some is missing, fresh or on top of what was
    before it.
    """
    pairs = itertools.pairwise(recorded)
    holes = [at for at, pair in enumerate(pairs, 1) if breaks.missing(*pair)]
    replays = []
    for begin, state in ((0, _FRESH), *((at, s) for at in holes for s in (_FRESH, history[at]))):
        states = [state] * (begin + 1)
        for each in recorded[begin:-1]:
            states.append(_next(states[-1], each))
        replays.append(states)
    return replays


def _over(missing: Sequence[Key], state: bytes, rows: Sequence[bytes]) -> bytes:
    """The state of a black box that saw what is missing now."""
    for key in missing:
        state = after(state, key.id, rows[key.id % len(rows)])
    return state


def _fitting(states: Sequence[bytes], each: Recorded) -> list[bytes]:
    """The states after a sample, of those that give the recorded answer."""
    later = (_next(state, each) for state in states)
    return [state for state in later if says(state) == each.prediction]


def _next(state: bytes, each: Recorded) -> bytes:
    return after(state, each.key.id, each.values)
