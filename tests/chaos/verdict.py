"""Whether what was promised was kept, sample by sample, keyed by (session, id)."""

from collections import Counter
from collections.abc import Iterable, Iterator
from types import SimpleNamespace

from chaos.evidence import VALUES, Evidence, Key, Recorded
from chaos.ledgers import EXCUSES, Entry, Ids, ids_in
from chaos.predictors import Forgetful

# A stream's samples are evenly spaced to within this, else the agent opens another one;
# the log rounds to a microsecond.
_TIME_OFF_NS = 50_000_000 + 1000

# So many examples of a failure are as good as all of them.
_MOST_SHOWN = 5


def judge(evidence: Evidence) -> list[str]:
    """Tell all that is wrong; nothing where every promise was kept."""
    return [
        *evidence.complaints,
        *_shown("logged with different predictions", _contradicting(evidence)),
        *_shown("recorded twice", _recorded_twice(evidence)),
        *_shown("recorded with other values than the CSV's", _with_other_values(evidence)),
        *_shown("answered otherwise than by a black box that saw all", _misjudged(evidence)),
        *_shown("logged otherwise than recorded", _logged_otherwise(evidence)),
        *_shown("logged with another time than recorded", _at_another_time(evidence)),
        *_shown("not in rising order in the line", _out_of_order(evidence)),
        *_shown("of a session that no ledger knows", _of_no_session(evidence)),
        *_sessions(evidence),
        *_ledgers(evidence),
    ]


def excused(entry: Entry) -> Ids:
    """The samples that a damaged file has taken, or a kill from memory, as the books say."""
    found = [ids for fate, ids in entry.fates.items() if fate in EXCUSES]
    return Ids(sum(ids.count for ids in found), [run for ids in found for run in ids.runs])


def _shown(what: str, keys: Iterable[Key]) -> Iterator[str]:
    if found := list(keys):
        some = ", ".join(f"{key.session_id[:8]} {key.id}" for key in found[:_MOST_SHOWN])
        yield f"{len(found)} samples {what}: {some}{' ...' * (len(found) > _MOST_SHOWN)}"


def _contradicting(evidence: Evidence) -> Iterator[Key]:
    for key, loggings in evidence.logged.items():
        if len({logging.prediction for logging in loggings}) > 1:
            yield key


def _recorded_twice(evidence: Evidence) -> Iterator[Key]:
    counted = Counter(recorded.key for recorded in evidence.recorded)
    return (key for key, count in counted.items() if count > 1)


def _with_other_values(evidence: Evidence) -> Iterator[Key]:
    rows = evidence.rows
    for recorded in evidence.recorded:
        if recorded.values != rows[recorded.key.id % len(rows)]:
            yield recorded.key


def _misjudged(evidence: Evidence) -> Iterator[Key]:
    black_box = Forgetful()
    for recorded in evidence.recorded:
        sample = SimpleNamespace(id=recorded.key.id, values=VALUES.unpack(recorded.values))
        if black_box.predict(sample) != recorded.prediction:
            yield recorded.key


def _logged_otherwise(evidence: Evidence) -> Iterator[Key]:
    recorded = _by_key(evidence)
    for key, loggings in evidence.logged.items():
        if key not in recorded or any(
            logging.prediction != recorded[key].prediction for logging in loggings
        ):
            yield key


def _at_another_time(evidence: Evidence) -> Iterator[Key]:
    recorded = _by_key(evidence)
    for key, loggings in evidence.logged.items():
        times = [logging.sampled_at_ns - recorded[key].sampled_at_ns for logging in loggings
                 if key in recorded]  # fmt: skip
        if any(abs(off_ns) > _TIME_OFF_NS for off_ns in times):
            yield key


def _out_of_order(evidence: Evidence) -> Iterator[Key]:
    last: dict[str, int] = {}
    for recorded in evidence.recorded:
        session_id, id_ = recorded.key
        if id_ <= last.get(session_id, -1):
            yield recorded.key
        last[session_id] = id_


def _of_no_session(evidence: Evidence) -> Iterator[Key]:
    known = evidence.remembered.keys() | {entry.session_id for entry in evidence.agent.sessions}
    return (key for key in evidence.logged if key.session_id not in known)


def _sessions(evidence: Evidence) -> Iterator[str]:
    """Each id from 0 on has a prediction, but for those that the books excuse."""
    entries = {entry.session_id: entry for entry in evidence.agent.sessions}
    logged: dict[str, set[int]] = {}
    for session_id, id_ in evidence.logged:
        logged.setdefault(session_id, set()).add(id_)
    for session_id in entries.keys() | evidence.remembered.keys():
        here = logged.get(session_id, set())
        entry, before = entries.get(session_id), evidence.remembered.get(session_id)
        for accusation in _session(here, entry, before):
            yield f"session {session_id[:8]}: {accusation}"


def _session(here: set[int], entry: Entry | None, before: Entry | None) -> Iterator[str]:
    """Judge the predicted ids of a session by what its books say, and by what they said before."""
    sampled = max(each.sampled for each in (entry, before) if each)
    lost = excused(entry) if entry else Ids(0, [])
    without = {*range(sampled)} - here - ids_in(lost.runs)
    if entry is None or entry.power_lost:  # the books went, and what waited went with them
        without -= ids_in(before.waiting_ids) if before else set()
    elif entry.sampled < sampled:
        yield f"the books know of {entry.sampled} samples, once they knew of {sampled}"
    if len(without) > lost.count - len(ids_in(lost.runs)):
        shown = sorted(without)[:_MOST_SHOWN]
        yield (
            f"{len(without)} of {sampled} samples without prediction, from {shown} on;"
            f" the books excuse {lost}"
        )
    if beyond := {id_ for id_ in here if id_ >= sampled}:
        yield f"{len(beyond)} predictions of samples that were never taken"
    if entry:
        if entry.power_lost and not before:
            yield "the books say that power was lost, and it was not"
        if entry.waiting:
            yield f"{entry.waiting} samples still wait: {entry.waiting_ids}"
        for fate in entry.fates.keys() - EXCUSES:
            yield f"{fate}: {entry.fates[fate]}"


def _ledgers(evidence: Evidence) -> Iterator[str]:
    if not evidence.agent.balanced:
        yield "the agent's ledger does not balance"
    here = {entry.session_id for entry in evidence.agent.sessions}
    for difference in evidence.agent.differences:
        if difference.contradiction and difference.session_id in here:
            yield f"the ledgers contradict each other: {difference.session_id} {difference.text}"
    recorded: dict[str, set[int]] = {}
    for each in evidence.recorded:
        recorded.setdefault(each.key.session_id, set()).add(each.key.id)
    for entry in evidence.broker.sessions:
        ids = recorded.pop(entry.session_id, set())
        gaps = {*range(entry.first_id or 0, max(ids, default=-1) + 1)} - ids
        if (entry.answered, ids_in(entry.missing)) != (len(ids), gaps):
            yield (
                f"session {entry.session_id[:8]}: {len(ids)} samples are on record, and"
                f" {len(gaps)} missing; the broker's ledger says {entry}"
            )
    for session_id in recorded:
        yield f"session {session_id[:8]} is on record, and not in the broker's ledger"


def _by_key(evidence: Evidence) -> dict[Key, Recorded]:
    return {recorded.key: recorded for recorded in evidence.recorded}
