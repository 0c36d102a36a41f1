"""A predictor that goes through what another one of its kind went through."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress

from broker.model import Sample
from broker.predictors import BlackBox, Predictor, explains, is_stateful
from broker.recorder.reader import Course, Reader, RecordedSample, RecordedSnapshot, Span

OTHER_MODEL = "these answers were made by another model"
UNKNOWN = "the state of the predictor is not on record for all of it"

# As many samples are fetched at a time as are replayed in some milliseconds.
_CHUNK = 500

Step = RecordedSnapshot | RecordedSample
"""What a line went through: a state on record, or a sample behind it."""

_Name = tuple[str, int, int]


class Retrace:
    """Answers recorded samples again. Whatever a predictor raises comes through."""

    def __init__(self, black_box: BlackBox) -> None:
        self._black_box = black_box
        self.predictor: Predictor | None = None
        """None: another model answered, or it is not known in which state this one was."""
        self.lack = UNKNOWN
        """Why there is none."""
        self.said: str | None = None
        """What it said about its latest answer."""

    def begin(self, snapshot: RecordedSnapshot) -> None:
        """Go on from a state on record."""
        self.predictor = None
        if snapshot.digest != self._black_box.digest:
            self.lack = OTHER_MODEL
            return
        predictor = self._black_box.make()
        if snapshot.state is not None and is_stateful(predictor):
            predictor.restore(snapshot.state)
        elif not snapshot.is_fresh:
            self.lack = UNKNOWN
            return
        self.predictor = predictor

    def begin_fresh(self) -> None:
        """Start with a predictor that has seen nothing, whatever is on record."""
        self.predictor = self._black_box.make()

    def answer(self, sample: Sample) -> bool | None:
        """The prediction; None where there is no predictor."""
        predictor = self.predictor
        if predictor is None:
            return None
        prediction = predictor.predict(sample)
        self.said = None
        if explains(predictor):
            with suppress(Exception):  # a broker goes on without an explanation as well
                self.said = predictor.explain()
        return bool(prediction)


def steps(course: Course) -> Iterator[Step]:
    """Samples and states in their order."""
    states = dict(course.snapshots)
    for number, sample in enumerate(course.samples):
        if state := states.get(number):
            yield state
        yield sample
    if state := states.get(len(course.samples)):
        yield state


async def history(reader: Reader, agent_id: str, span: Span) -> AsyncIterator[Sequence[Step]]:
    """All samples of a span, behind those since the state on record before it. StoreError.

    The last one is of the span. Samples of it that were recorded before that state come first:
    without any before it, or where a clock was set back.
    """
    basis = await reader.snapshot(agent_id, span.since_ns)
    first = await _first_behind(reader, agent_id, span, basis) if basis else None
    left = 0  # of the span, behind the state
    async for samples in reader.samples(agent_id, span):
        before: list[RecordedSample] = []
        for each in samples:
            if left or _name(each) == first:
                left += 1
            else:
                before.append(each)
        yield before
    if basis is None or not left:
        return
    yield [basis]
    course = await reader.course(agent_id, basis.cursor, _CHUNK)
    while course.samples and left:
        some: list[Step] = []
        for step in steps(course):
            some.append(step)
            left -= not isinstance(step, RecordedSnapshot) and step.sampled_at_ns in span
            if not left:
                break
        yield some
        course = await reader.course(agent_id, course.cursor, _CHUNK)


async def _first_behind(
    reader: Reader, agent_id: str, span: Span, basis: RecordedSnapshot
) -> _Name | None:
    """The first sample of a span behind a state; None: there is none."""
    course = await reader.course(agent_id, basis.cursor, _CHUNK)
    while course.samples:
        for each in course.samples:
            if each.sampled_at_ns in span:
                return _name(each)
        course = await reader.course(agent_id, course.cursor, _CHUNK)
    return None


def _name(sample: RecordedSample) -> _Name:
    return sample.session_id, sample.id, sample.arrived_at_ns
