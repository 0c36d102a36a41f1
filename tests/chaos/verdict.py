"""Whether what was promised was kept, sample by sample, keyed by (session, id)."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chaos.books import Books
from chaos.chain import Breaks, Followed, follow
from chaos.evidence import Evidence, Trail
from chaos.ledgers import ids_in
from chaos.records import Key, Logging

# A stream's samples are evenly spaced to within this, else the agent opens another one;
# the log rounds to a microsecond.
_TIME_OFF_NS = 50_000_000 + 1000

# Of a line's answers. To follow no more of it is to judge nothing.
_MOST_UNJUDGED = 0.25

# So many examples of a failure are as good as all of them.
_MOST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evidence comes to."""

    accusations: list[str]
    """All that is wrong; empty where every promise was kept."""
    unjudged: int
    """Number of answers that nobody can judge, after damage that was told."""


def judge(evidence: Evidence) -> Verdict:
    """Judge the broker's store, its answers and each agent's books."""
    cases = [_Case(trail) for trail in evidence.trails]
    accusations = [
        f"{case.agent_id}: {accusation}" for case in cases for accusation in case.accusations()
    ]
    return Verdict([*evidence.complaints, *accusations], sum(case.unjudged for case in cases))


class _Case:
    """One agent's trail, with what its records say looked up by key."""

    def __init__(self, trail: Trail) -> None:
        self.agent_id = trail.agent_id
        self._trail = trail
        self._recorded = {recorded.key: recorded for recorded in trail.recorded}
        self._named = _named(trail)
        self._is_unnamed = any(loss.session_id is None for loss in trail.losses)
        self._followed = self._follow()

    @property
    def unjudged(self) -> int:
        """Number of answers that nobody can judge."""
        return len(self._followed.unjudged)

    def accusations(self) -> Iterator[str]:
        """All that is wrong."""
        trail = self._trail
        yield from shown("logged with different predictions", self._contradicting())
        yield from shown("recorded twice", self._recorded_twice())
        yield from shown("recorded with other values than the CSV's", self._with_other_values())
        yield from shown(
            "answered otherwise than by a black box that saw all", self._followed.misjudged
        )
        if self.unjudged > _MOST_UNJUDGED * len(trail.recorded):
            yield from shown("that nobody can judge: too many", self._followed.unjudged)
        yield from shown("logged otherwise than recorded", self._logged_otherwise())
        yield from shown("logged, and not on record, and no fault took them", self._unrecorded())
        yield from shown("gone from the record, and no ledger names them", self._unnamed())
        yield from shown("logged with another time than recorded", self._at_another_time())
        yield from shown("not in rising order in the line", self._out_of_order())
        yield from Books(trail).accusations()
        yield from self._ledgers()

    def _follow(self) -> Followed:
        trail = self._trail
        if not trail.is_chained:
            return Followed()
        breaks = Breaks(
            trail.rebuilt_ns,
            trail.restored_ns,
            self._lost_ns(),
            {entry.session_id: entry.last_id or 0 for entry in trail.broker},
            {entry.session_id for entry in trail.broker}
            - {key.session_id for key in self._recorded},
            trail.rows,
        )
        return follow(trail.recorded, breaks)

    def _lost_ns(self) -> dict[Key, int]:
        """What is named as missing, and when it got lost; where nobody knows, at the begin."""
        lost_ns = dict.fromkeys(self._named, 0)
        for loss in self._trail.losses:
            if loss.session_id is None:  # whatever was answered, and is not there
                lost_ns |= dict.fromkeys(
                    self._trail.logged.keys() - self._recorded.keys(), loss.at_ns
                )
            elif loss.session_id:
                lost_ns |= {Key(loss.session_id, id_): loss.at_ns for id_ in loss.ids}
            # What the agent jumped over was never there: it is what a restored backup had lacked,
            # and comes before what was answered after the restoring.
            for id_ in loss.ids[: loss.jumps]:
                lost_ns[Key(loss.session_id or "", id_)] = 0
        return lost_ns

    def _contradicting(self) -> Iterator[Key]:
        """Logged twice and differently, though the record was there all the time."""
        for key, loggings in self._trail.logged.items():
            kept = (logging for logging in loggings if not self._was_taken(key, logging))
            if len({logging.prediction for logging in kept}) > 1:
                yield key

    def _recorded_twice(self) -> Iterator[Key]:
        counted = Counter(recorded.key for recorded in self._trail.recorded)
        return (key for key, count in counted.items() if count > 1)

    def _with_other_values(self) -> Iterator[Key]:
        rows = self._trail.rows
        for recorded in self._trail.recorded:
            if recorded.values != rows[recorded.key.id % len(rows)]:
                yield recorded.key

    def _logged_otherwise(self) -> Iterator[Key]:
        for key, loggings in self._trail.logged.items():
            recorded = self._recorded.get(key)
            if recorded and any(
                logging.prediction != recorded.prediction
                for logging in loggings
                if not self._was_taken(key, logging)
            ):
                yield key

    def _unrecorded(self) -> Iterator[Key]:
        """An answer that left is on record, or was before a fault of which it was told in time."""
        for key, loggings in self._trail.logged.items():
            if key not in self._recorded and not all(map(self._may_lack, loggings)):
                yield key

    def _unnamed(self) -> Iterator[Key]:
        """What a fault took is in a ledger, by its id; unless another took the agent's books."""
        if self._is_unnamed:  # a repair has told that it cannot tell
            return
        sampled = {entry.session_id: entry.sampled for entry in self._trail.agent.sessions}
        for key, loggings in self._trail.logged.items():
            gone = key not in self._recorded and all(map(self._may_lack, loggings))
            is_booked = key.id < sampled.get(key.session_id, 0)
            if gone and is_booked and key not in self._named:
                yield key

    def _may_lack(self, logging: Logging) -> bool:
        return any(taken.may_lack(logging.logged_at_ns) for taken in self._trail.taken)

    def _was_taken(self, key: Key, logging: Logging) -> bool:
        """Whether the record of this logging is gone, so that it binds nobody any more."""
        if not self._may_lack(logging):
            return False
        recorded = self._recorded.get(key)
        return recorded is None or recorded.arrived_at_ns > logging.logged_at_ns

    def _at_another_time(self) -> Iterator[Key]:
        for key, loggings in self._trail.logged.items():
            recorded = self._recorded.get(key)
            if recorded and any(
                abs(logging.sampled_at_ns - recorded.sampled_at_ns) > _TIME_OFF_NS
                for logging in loggings
            ):
                yield key

    def _out_of_order(self) -> Iterator[Key]:
        last: dict[str, int] = {}
        for recorded in self._trail.recorded:
            session_id, id_ = recorded.key
            if id_ <= last.get(session_id, -1):
                yield recorded.key
            last[session_id] = id_

    def _ledgers(self) -> Iterator[str]:
        """The broker's ledger says what is on record, or that it is lost."""
        recorded: dict[str, set[int]] = {}
        for session_id, id_ in self._recorded:
            recorded.setdefault(session_id, set()).add(id_)
        lost = _lost(self._trail)
        with_jumps = {loss.session_id for loss in self._trail.losses if loss.jumps}
        for entry in self._trail.broker:
            ids = recorded.pop(entry.session_id, set())
            gone = lost.get(entry.session_id, set()) - ids
            last_id = -1 if entry.last_id is None else entry.last_id
            jumped = {*range(entry.first_id or 0, last_id + 1)} - ids - gone
            answered = len(ids) + (0 if self._is_unnamed else len(gone))
            if entry.session_id in with_jumps:  # named together with what is lost
                answered -= entry.gaps - len(ids_in(entry.missing))
            if self._is_unnamed:
                jumped &= ids_in(entry.missing)
            known = self._is_unnamed or entry.answered == answered
            if (
                not known
                or not ids_in(entry.missing) <= jumped | gone
                or jumped - ids_in(entry.missing)
            ):
                yield (
                    f"session {entry.session_id[:8]}: {len(ids)} samples are on record,"
                    f" {len(gone)} lost and {len(jumped)} missing; the broker's ledger says {entry}"
                )
        for session_id in recorded:
            yield f"session {session_id[:8]} is on record, and not in the broker's ledger"


def _named(trail: Trail) -> set[Key]:
    """What a ledger says of itself that is not on the broker's record."""
    named = {Key(entry.session_id, id_) for entry in trail.broker for id_ in ids_in(entry.missing)}
    for session_id, ids in _lost(trail).items():
        named |= {Key(session_id, id_) for id_ in ids}
    for session in trail.agent.sessions:
        for ids in session.fates.values():
            named |= {Key(session.session_id, id_) for id_ in ids_in(ids.runs)}
    for difference in trail.agent.differences:
        if "not recorded by the broker" in difference.text:
            named |= {Key(difference.session_id, id_) for id_ in difference.ids}
    return named


def _lost(trail: Trail) -> dict[str, set[int]]:
    """The ids that a repair has named, by session."""
    lost: dict[str, set[int]] = {}
    for loss in trail.losses:
        if loss.session_id:
            lost.setdefault(loss.session_id, set()).update(loss.ids)
    return lost


def shown(what: str, keys: Iterable[Key]) -> Iterator[str]:
    """A sentence about some samples, if there are any; names a few of them."""
    if found := list(keys):
        some = ", ".join(f"{key.session_id[:8]} {key.id}" for key in found[:_MOST_SHOWN])
        yield f"{len(found)} samples {what}: {some}{' ...' * (len(found) > _MOST_SHOWN)}"
