"""Answers the samples of an incident file again, and compares."""

from collections import deque
from dataclasses import dataclass

from broker.errors import IncidentError
from broker.incident.archive import Incident, Row
from broker.incident.manifest import State
from broker.model import Sample
from broker.predictors import BlackBox, one_line
from broker.recorder.reader import RecordedSnapshot
from broker.retrace import Retrace
from quartet.foreign import described


@dataclass(frozen=True, slots=True)
class Difference:
    """A sample with another prediction than the recorded one."""

    row: Row
    now: bool
    said: str
    """What the predictor says now; empty: nothing."""


@dataclass(slots=True)
class Comparison:
    """What came of a replay."""

    is_same: bool
    """Whether the predictor is the recorded one: its predictions must be the same."""
    compared: int = 0
    skipped: int = 0
    """Samples before the first that was compared."""
    skipped_later: int = 0
    """Other samples that were not compared."""
    lack: str = ""
    """Why not; empty: all were."""
    true: int = 0
    """Recorded predictions that are True, of those compared."""
    now_true: int = 0
    """False on record, and True now."""
    now_false: int = 0
    first_compared: Row | None = None
    first: Difference | None = None
    """The first difference."""
    last: Row | None = None
    """The last sample that was read."""
    raised: str = ""
    """What the predictor raised at that sample, which ended the replay; empty: nothing."""

    @property
    def differing(self) -> int:
        """How many predictions differ."""
        return self.now_true + self.now_false

    @property
    def is_exact(self) -> bool:
        """Whether samples were compared, and all predictions are the recorded ones."""
        return self.compared > 0 and not self.differing and not self.raised


def replay(incident: Incident, black_box: BlackBox) -> Comparison:
    """Compare. IncidentError for a file that cannot be read to its end.

    A predictor that is not the recorded one starts fresh at the first sample, and at each reset.
    The replay ends where the predictor raises.
    """
    states = deque(incident.manifest.states)
    is_same = any(each.digest == black_box.digest for each in states)
    found = Comparison(is_same)
    retrace = Retrace(black_box)
    try:
        if not is_same:
            retrace.begin_fresh()
        for row in incident.rows():
            found.last = row
            while states and states[0].row <= row.number:
                state = states.popleft()
                if is_same:
                    retrace.begin(_recorded(incident, state))
                elif state.is_fresh:
                    retrace.begin_fresh()
            _compare(found, row, retrace)
    except IncidentError:
        raise
    except (Exception, SystemExit) as error:  # whatever a predictor raises
        found.raised = described(error)
    return found


def _recorded(incident: Incident, state: State) -> RecordedSnapshot:
    """A state as a store has it."""
    content = incident.state(state.member) if state.member else None
    return RecordedSnapshot(state.digest, content, state.is_fresh, 0, 0, "")


def _compare(found: Comparison, row: Row, retrace: Retrace) -> None:
    now = retrace.answer(Sample(row.id, row.values))
    if now is None:
        found.lack = retrace.lack
        if found.first_compared:
            found.skipped_later += 1
        else:
            found.skipped += 1
        return
    found.first_compared = found.first_compared or row
    found.compared += 1
    found.true += row.prediction
    if now is row.prediction:
        return
    found.now_true += now
    found.now_false += not now
    if found.first is None:
        said = retrace.said
        found.first = Difference(row, now, "" if said is None else one_line(str(said)))
