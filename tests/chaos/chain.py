"""Whether a line's answers are those of a black box that saw its samples in order.

The black box chains a hash: one sample lost, doubled, moved or changed makes half of all later
answers wrong. Where it was rebuilt after damage was told, or where records are missing and named,
it may have begun again: from a state that it has had, and from what was on record then. Where
damage was told, from any other as well: nobody knows what a rebuilding has read of it.
"""

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from chaos.predictors import after, says
from chaos.records import Key, Recorded

# By luck a wrong state gives the right answer every other time: a break may lie as far back.
_MOST_UNSEEN = 64

# Log entries are stamped in ms.
_STAMPS_OFF_NS = 5_000_000

_FRESH = b""


@dataclass(frozen=True, slots=True)
class Breaks:
    """Where a line may have gone on from another state."""

    rebuilt_ns: Sequence[int] = ()
    """Unix ns: when its black box was rebuilt, after damage had been told."""
    lost_ns: Mapping[Key, int] = field(default_factory=dict)
    """The samples that are missing on record, as ledgers name them, and when they got lost."""
    last_ids: Mapping[str, int] = field(default_factory=dict)
    """The last ids of sessions, by the broker's ledger."""
    rows: Sequence[bytes] = ()
    """The values of samples: of id n, those of row n, and round again."""

    def is_rebuilt(self, former: Recorded | None, latter: Recorded) -> bool:
        """Whether the black box was rebuilt between two records."""
        begin_ns = (former.arrived_at_ns if former else 0) - _STAMPS_OFF_NS
        at = bisect.bisect_left(self.rebuilt_ns, begin_ns)
        last_ns = latter.arrived_at_ns + _STAMPS_OFF_NS
        return at < len(self.rebuilt_ns) and self.rebuilt_ns[at] <= last_ns

    def missing(self, former: Recorded | None, latter: Recorded) -> list[Key]:
        """The named samples that are missing between two records, in their order."""
        session_id, id_ = latter.key
        begin, between = 0, list[Key]()
        if former and former.key.session_id == session_id:
            begin = former.key.id + 1
        elif former:
            last_id = self.last_ids.get(former.key.session_id, former.key.id)
            between += (
                Key(former.key.session_id, each) for each in range(former.key.id + 1, last_id + 1)
            )
        between += (Key(session_id, each) for each in range(begin, id_))
        return [key for key in between if key in self.lost_ns]


def misjudged(recorded: Sequence[Recorded], breaks: Breaks) -> Iterator[Key]:
    """The samples of a line, in its order, whose answers nothing explains."""
    return _Course(recorded, breaks).misjudged()


class _Course:
    """The states of a line's black box, followed from its first sample on."""

    def __init__(self, recorded: Sequence[Recorded], breaks: Breaks) -> None:
        self._recorded = recorded
        self._breaks = breaks
        pairs = list(zip((None, *recorded), recorded, strict=False))
        self._missing = [breaks.missing(*pair) for pair in pairs]
        """Before each sample on record."""
        self._holes = [at for at, missing in enumerate(self._missing) if missing]
        self._begins = [
            at
            for at, (pair, missing) in enumerate(zip(pairs, self._missing, strict=True))
            if missing or breaks.is_rebuilt(*pair)
        ]
        """Where the line may have begun again."""
        self._history = [_FRESH]
        """The state before each sample."""
        self._replays: dict[tuple[int, bytes, int], list[bytes]] = {}
        self._told = [at for at, pair in enumerate(pairs) if breaks.is_rebuilt(*pair)]
        """Where it began again after damage had been told."""

    def misjudged(self) -> Iterator[Key]:
        states = [_FRESH]  # that the black box may have now; mostly one
        for at, each in enumerate(self._recorded):
            found = _fitting(states, each) or self._resumed(at)
            if not found:
                if self._begins_told(at):
                    return  # from a state that nobody can follow
                yield each.key
                found = [_next(self._history[-1], each)]  # as if it had answered rightly
            states = found
            self._history.append(states[0])

    def _begins_told(self, at: int) -> bool:
        first = bisect.bisect_left(self._told, at - _MOST_UNSEEN // 2)
        return first < bisect.bisect_right(self._told, at)

    def _resumed(self, at: int) -> list[bytes]:
        """The states after a sample, of black boxes that began again shortly before it."""
        resumed: set[bytes] = set()
        first = bisect.bisect_left(self._begins, at - _MOST_UNSEEN)
        for begin in self._begins[first : bisect.bisect_right(self._begins, at)]:
            states = {*self._history[: begin + 1], *self._rebuilt(begin)}
            states.add(self._over(begin, self._history[begin], 0))
            survivors = [*states]
            for each in self._recorded[begin : at + 1]:
                survivors = _fitting(survivors, each)
            resumed.update(survivors)
        return sorted(resumed)

    def _rebuilt(self, end: int) -> Iterator[bytes]:
        """The states before a sample, of black boxes that saw what was on record then.

        Nobody knows which of what is missing now was there: it is tried for each time at which
        some of it got lost. They begin fresh, or on top of the state before what is missing.
        """
        holes = [at for at in self._holes if at <= end]
        times_ns = {0, *(self._breaks.lost_ns[self._missing[at][0]] for at in self._holes)}
        for begin in (0, *holes):
            for state in {_FRESH, self._history[begin]}:
                for since_ns in times_ns:
                    key = (begin, state, since_ns)
                    states = self._replays.setdefault(key, [state])
                    for number in range(begin + len(states) - 1, end):
                        later = self._over(number, states[-1], since_ns)
                        states.append(_next(later, self._recorded[number]))
                    yield self._over(end, states[end - begin], since_ns)
                    yield states[end - begin]

    def _over(self, at: int, state: bytes, since_ns: int) -> bytes:
        """The state of a black box that saw what is missing before a sample and got lost later."""
        rows = self._breaks.rows
        for key in self._missing[at]:
            if self._breaks.lost_ns[key] > since_ns:
                state = after(state, key.id, rows[key.id % len(rows)])
        return state


def _fitting(states: Sequence[bytes], each: Recorded) -> list[bytes]:
    """The states after a sample, of those that give the recorded answer."""
    later = (_next(state, each) for state in states)
    return [state for state in later if says(state) == each.prediction]


def _next(state: bytes, each: Recorded) -> bytes:
    return after(state, each.key.id, each.values)
