"""Whether a line's answers are those of a black box that saw its samples in order.

The black box chains a hash: one sample lost, doubled, moved or changed makes half of all later
answers wrong. Where it was rebuilt after damage was told, or where records are missing and named,
it may have begun again: from a state that it has had, or from what was on record then.

Where damage was told and none of these states fits, nobody knows what the rebuilding has read.
The answers are then not judged up to the next rebuilding from which a known state fits them.
"""

import bisect
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from chaos.predictors import after, says
from chaos.records import Key, Recorded

# By luck a wrong state gives the right answer every other time: a break may lie as far back.
_MOST_UNSEEN = 64

# This number of right answers tells a state from a million others.
_ENOUGH = 40

# Log entries are stamped in ms.
_STAMPS_OFF_NS = 5_000_000

_FRESH = b""


@dataclass(frozen=True, slots=True)
class Breaks:
    """Where a line may have gone on from another state."""

    rebuilt_ns: Sequence[int] = ()
    """Unix ns: when its black box was rebuilt, after damage had been told."""
    restored_ns: Sequence[int] = ()
    """The same of each rebuilding, also of those that must not change its state."""
    lost_ns: Mapping[Key, int] = field(default_factory=dict)
    """The samples that are missing on record, as ledgers name them, and when they got lost."""
    last_ids: Mapping[str, int] = field(default_factory=dict)
    """The last ids of sessions, by the broker's ledger and in its order."""
    absent: Collection[str] = ()
    """Sessions of which nothing is on record any more."""
    rows: Sequence[bytes] = ()
    """The values of samples: of id n, those of row n, and round again."""

    def missing(self, former: Recorded | None, latter: Recorded) -> list[Key]:
        """The named samples that are missing between two records, in their order."""
        session_id, id_ = latter.key
        begin, between = 0, list[Key]()
        if former and former.key.session_id == session_id:
            begin = former.key.id + 1
        else:
            former_id, last_id = former.key if former else ("", -1)
            between += self._rest(former_id, last_id + 1)
            for absent_id in self._absent_between(former_id, session_id):
                between += self._rest(absent_id, 0)
        between += (Key(session_id, each) for each in range(begin, id_))
        return [key for key in between if key in self.lost_ns]

    def _rest(self, session_id: str, begin: int) -> Iterator[Key]:
        last_id = self.last_ids.get(session_id, -1)
        return (Key(session_id, each) for each in range(begin, last_id + 1))

    def _absent_between(self, former_id: str, latter_id: str) -> list[str]:
        order = list(self.last_ids)
        begin = order.index(former_id) + 1 if former_id in order else 0
        end = order.index(latter_id) if latter_id in order else begin
        return [each for each in order[begin:end] if each in self.absent]


@dataclass(frozen=True, slots=True)
class Followed:
    """What became of the samples of a line, of those whose answers are not plainly right."""

    misjudged: list[Key] = field(default_factory=list)
    """Nothing explains their answers."""
    unjudged: list[Key] = field(default_factory=list)
    """After damage that was told, nobody can know their answers."""


def follow(recorded: Sequence[Recorded], breaks: Breaks) -> Followed:
    """Judge the samples of a line, in its order."""
    return _Course(recorded, breaks).follow()


class _Course:
    """The states of a line's black box, followed from its first sample on."""

    def __init__(self, recorded: Sequence[Recorded], breaks: Breaks) -> None:
        self._recorded = recorded
        self._breaks = breaks
        pairs = list(zip((None, *recorded), recorded, strict=False))
        self._missing = [breaks.missing(*pair) for pair in pairs]
        """Before each sample on record."""
        self._holes = [at for at, missing in enumerate(self._missing) if missing]
        self._told = [at for at, pair in enumerate(pairs) if _lies_in(breaks.rebuilt_ns, *pair)]
        """Where it began again after damage had been told."""
        self._begins = sorted({*self._holes, *self._told})
        """Where the line may have begun again."""
        self._restored = [
            at for at, pair in enumerate(pairs) if _lies_in(breaks.restored_ns, *pair)
        ]
        self._history = [_FRESH]
        """The state before each sample; where it is not known, some other."""
        self._replays: dict[tuple[int, bytes, int], list[bytes]] = {}

    def follow(self) -> Followed:
        """Follow it to its end."""
        followed = Followed()
        states = [_FRESH]  # that the black box may have now; mostly one
        resume_at = 0
        for at, each in enumerate(self._recorded):
            if at < resume_at:
                followed.unjudged.append(each.key)
            elif found := _fitting(states, each) or self._resumed(at):
                states = found
            elif self._begins_told(at):
                resume_at, states = self._taken_up(at)
                followed.unjudged.append(each.key)
            else:
                followed.misjudged.append(each.key)
                states = [_next(self._history[-1], each)]  # as if it had answered rightly
            if at >= resume_at:
                self._history.append(states[0])
        return followed

    def _begins_told(self, at: int) -> bool:
        first = bisect.bisect_left(self._told, at - _MOST_UNSEEN // 2)
        return first < bisect.bisect_right(self._told, at)

    def _taken_up(self, lost_at: int) -> tuple[int, list[bytes]]:
        """From which later sample on the line can be followed again, and the states before it."""
        begins = {*self._told, *self._restored, *self._holes}
        for begin in sorted(at for at in begins if at > lost_at):
            end = begin + _ENOUGH
            if end > len(self._recorded):
                break
            for each in self._recorded[len(self._history) - 1 : begin]:
                self._history.append(_next(self._history[-1], each))
            states = [s for s in self._known(begin) if self._through(s, begin, end) is not None]
            if states:
                self._history[begin] = states[0]
                return begin, states
        return len(self._recorded), []

    def _resumed(self, at: int) -> list[bytes]:
        """The states after a sample, of black boxes that began again shortly before it."""
        resumed: set[bytes] = set()
        first = bisect.bisect_left(self._begins, at - _MOST_UNSEEN)
        for begin in self._begins[first : bisect.bisect_right(self._begins, at)]:
            states = (self._through(state, begin, at + 1) for state in self._known(begin))
            resumed.update(state for state in states if state is not None)
        return sorted(resumed)

    def _known(self, begin: int) -> set[bytes]:
        """The states with which a black box may have begun again before a sample."""
        states = {*self._history[: begin + 1], *self._rebuilt(begin)}
        return states | {self._over(begin, self._history[begin], 0)}

    def _through(self, state: bytes, begin: int, end: int) -> bytes | None:
        """The state after these samples, if they have the answers that a state gives."""
        for each in self._recorded[begin:end]:
            state = _next(state, each)
            if says(state) != each.prediction:
                return None
        return state

    def _rebuilt(self, end: int) -> Iterator[bytes]:
        """The states before a sample, of black boxes that saw what was on record then.

        Nobody knows which of what is missing now was there: it is tried for each time at which
        some of it got lost. They begin fresh, or on top of the state before what is missing.
        """
        holes = [at for at in self._holes if at <= end]
        lost_ns = self._breaks.lost_ns
        times_ns = {0, *(lost_ns[key] for at in self._holes for key in self._missing[at])}
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


def _lies_in(times_ns: Sequence[int], former: Recorded | None, latter: Recorded) -> bool:
    """Whether one of these rising times lies between two records."""
    begin_ns = (former.arrived_at_ns if former else 0) - _STAMPS_OFF_NS
    at = bisect.bisect_left(times_ns, begin_ns)
    return at < len(times_ns) and times_ns[at] <= latter.arrived_at_ns + _STAMPS_OFF_NS


def _fitting(states: Sequence[bytes], each: Recorded) -> list[bytes]:
    """The states after a sample, of those that give the recorded answer."""
    later = (_next(state, each) for state in states)
    return [state for state in later if says(state) == each.prediction]


def _next(state: bytes, each: Recorded) -> bytes:
    return after(state, each.key.id, each.values)
