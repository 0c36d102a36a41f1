"""Whether an agent's books give each of its samples one fate, and the right one."""

from collections.abc import Iterator

from chaos.evidence import Trail
from chaos.ledgers import UNANSWERABLE, UNKNOWN, Difference, Entry, Ids, ids_in

# So many examples of a failure are as good as all of them.
_MOST_SHOWN = 5

_NOT_AT_THE_BROKER = "answered here, but not recorded by the broker"


class Books:
    """What the agent's ledger says, held against its log and what was done to it."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self._entries = {entry.session_id: entry for entry in trail.agent.sessions}
        self._gaps = {entry.session_id: ids_in(entry.missing) for entry in trail.broker}
        self._logged: dict[str, set[int]] = {}
        for session_id, id_ in trail.logged:
            self._logged.setdefault(session_id, set()).add(id_)

    def accusations(self) -> Iterator[str]:
        """All that is wrong: each id from 0 on has a prediction, or an excuse."""
        remembered = self._trail.remembered
        for session_id in {*self._logged} - self._entries.keys() - remembered.keys():
            if not self._was_homeless(session_id):
                yield f"session {session_id[:8]} has predictions, and no ledger knows it"
        for session_id in self._entries.keys() | remembered.keys():
            here = self._logged.get(session_id, set())
            entry, before = self._entries.get(session_id), remembered.get(session_id)
            for accusation in self._session(here, entry, before):
                yield f"session {session_id[:8]}: {accusation}"
        if not self._trail.agent.balanced:
            yield "the agent's ledger does not balance"
        for difference in self._trail.agent.differences:
            if difference.contradiction and not self._is_explained(difference):
                told = f"{difference.session_id} {difference.text}"
                yield f"the ledgers contradict each other: {told}"

    def _was_homeless(self, session_id: str) -> bool:
        """Whether a kill left no trace of it, as its agent had said."""
        trail = self._trail
        starts = {
            logging.start
            for key, loggings in trail.logged.items()
            if key.session_id == session_id
            for logging in loggings
        }
        return trail.robbed and starts <= trail.homeless

    def _session(self, here: set[int], entry: Entry | None, before: Entry | None) -> Iterator[str]:
        """Judge the predicted ids of a session by what its books say, and what they said before."""
        sampled = max(each.sampled for each in (entry, before) if each)
        known = entry or before
        lost = known.excused if known else Ids(0, [])
        expired = self._expired(known) if known else set()
        without = {*range(sampled)} - here - ids_in(lost.runs) - expired
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
        may_lack = before is not None and (entry is None or entry.power_lost)
        if not may_lack and (beyond := {id_ for id_ in here if id_ >= sampled}):
            yield f"{len(beyond)} predictions of samples that were never taken"
        if entry:
            yield from self._entry(entry, before)

    def _entry(self, entry: Entry, before: Entry | None) -> Iterator[str]:
        if entry.power_lost and not before and not self._trail.robbed:
            yield "the books say that power was lost, and it was not"
        if entry.waiting:
            yield f"{entry.waiting} samples still wait: {entry.waiting_ids}"
        if entry.excused.count and not self._trail.robbed:
            yield f"the books call {entry.excused} unknown, and no fault hit their files"
        expired = self._expired(entry)
        for fate, ids in entry.fates.items():
            if not (fate.startswith(UNKNOWN) or ids_in(ids.runs) <= expired):
                yield f"{fate}: {ids}"

    def _expired(self, entry: Entry) -> set[int]:
        """Those that came again when a fault had taken their record: nobody can answer them.

        One that the broker never saw is none of them.
        """
        if not self._trail.taken or UNANSWERABLE not in entry.fates:
            return set()
        unanswerable = ids_in(entry.fates[UNANSWERABLE].runs)
        return unanswerable - self._gaps.get(entry.session_id, set())

    def _is_explained(self, difference: Difference) -> bool:
        """Of a session that a fault took from one side; each sample of it is judged elsewhere."""
        if difference.session_id not in self._entries:
            return difference.session_id in self._trail.remembered
        return bool(self._trail.taken) and _NOT_AT_THE_BROKER in difference.text
