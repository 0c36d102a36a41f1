"""The numbers behind a predictor's answers, by a replay of what it saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from broker.console.present.folding import Folds
from broker.model import Sample
from broker.predictors import BlackBox, measures
from broker.recorder.reader import Reader, RecordedSample, RecordedSnapshot, Span
from broker.retrace import Retrace, steps
from quartet.errors import StoreError
from quartet.foreign import described
from quartet.plural import counted

# Rows whose numbers are shown, of one range.
_MOST_SHOWN = 20_000
# Rows before those: an hour at 10 a second, as a state is kept for each hour.
_MOST_BEFORE = 40_000

_CHUNK = 500

# Sample periods between the last sample of a span and its end, at most, where none is missing.
_NEAR = 2


@dataclass(frozen=True, slots=True)
class Question:
    """Which numbers are wanted."""

    agent_id: str
    span: Span
    most: int
    """Points of each chart."""


async def numbers(
    reader: Reader, black_box: BlackBox, question: Question, most_before: int = _MOST_BEFORE
) -> dict[str, Any]:
    """The charts, and a remark about what they lack. Raises StoreError.

    At most `most_before` samples are replayed that are not shown.
    """
    line = await reader.line(question.agent_id)
    if line is None or line.latest is None or line.oldest_ns is None:
        return _told("no sample of it is on record")
    try:
        has_numbers = measures(black_box.make())
    except (Exception, SystemExit) as error:  # whatever a predictor raises
        return _told(f"the predictor raised {described(error)}")
    if not has_numbers:
        return _told("the predictor tells no numbers")
    span = question.span
    since_ns = max(span.since_ns, line.oldest_ns)
    remarks = []
    if line.period_ns:
        end_ns = min(span.until_ns, line.latest.sampled_at_ns + line.period_ns)
        if (first_ns := end_ns - _MOST_SHOWN * line.period_ns) > since_ns:
            since_ns = first_ns
            remarks.append(
                f"only from {_local(first_ns)}: {counted(_MOST_SHOWN, 'sample')} at most"
            )
    basis = await reader.snapshot(question.agent_id, since_ns)
    if basis is None:
        return _told("not replayable: no state of the predictor is on record")
    if basis.sampled_at_ns > since_ns:
        if basis.sampled_at_ns >= span.until_ns:
            return _told(f"not replayable before {_local(basis.sampled_at_ns)}")
        remarks = [f"not replayable before {_local(basis.sampled_at_ns)}"]
    replayed = Span(since_ns, span.until_ns)
    replay = _Replay(
        black_box, Folds(span, question.most), replayed, line.period_ns or 0, most_before
    )
    remarks += await replay.run(reader, question.agent_id, basis)
    return {"charts": replay.folds.charts(), "remark": "; ".join(remarks)}


class _Replay:
    """What a predictor says to the samples of a span, and to those before it."""

    def __init__(
        self, black_box: BlackBox, folds: Folds, span: Span, period_ns: int, most_before: int
    ) -> None:
        """`period_ns` is the spacing of samples; 0: they have none."""
        self._retrace = Retrace(black_box)
        self._span = span
        self._near_ns = span.until_ns - _NEAR * period_ns
        self.folds = folds
        self._seen_ns = span.since_ns
        """When the latest sample was taken that does not lie behind the span."""
        self._last_arrived_ns: int | None = None
        """When the last sample of the span arrived; None: nobody has looked."""
        self._lacks: set[str] = set()
        """Of samples that are shown."""
        self._most_before = most_before
        self._before = 0
        self._shown = 0

    async def run(self, reader: Reader, agent_id: str, basis: RecordedSnapshot) -> list[str]:
        """Replay up to the end of the span; what is to be remarked."""
        try:
            self._retrace.begin(basis)
            cursor = basis.cursor
            while True:
                course = await reader.course(agent_id, cursor, _CHUNK)
                for step in steps(course):
                    if isinstance(step, RecordedSnapshot):
                        self._retrace.begin(step)
                    else:
                        self._see(step)
                cursor = course.cursor
                if await self._is_over(reader, agent_id, course.samples):
                    break
                if self._before > self._most_before:
                    if self._shown:
                        return [f"only up to {_local(self._seen_ns)}"]
                    before = counted(self._most_before, "sample")
                    return [f"not replayable: the state on record lies more than {before} before"]
                if self._shown > _MOST_SHOWN:
                    return [f"only up to {_local(course.samples[-1].sampled_at_ns)}"]
        except StoreError:
            raise
        except (Exception, SystemExit) as error:  # whatever a predictor raises
            return [f"the predictor raised {described(error)}"]
        return sorted(self._lacks)

    async def _is_over(
        self, reader: Reader, agent_id: str, samples: Sequence[RecordedSample]
    ) -> bool:
        """Whether nothing of the span follows these.

        Samples behind it, with none shortly before its end, may have a clock that was ahead: all
        records are looked through then.
        """
        if not samples:
            return True
        if not all(each.sampled_at_ns >= self._span.until_ns for each in samples):
            return False
        if self._seen_ns >= self._near_ns:
            return True
        if self._last_arrived_ns is None:
            self._last_arrived_ns = 0
            async for some in reader.samples(agent_id, self._span):
                self._last_arrived_ns = some[-1].arrived_at_ns
        return samples[-1].arrived_at_ns >= self._last_arrived_ns

    def _see(self, sample: RecordedSample) -> None:
        if sample.sampled_at_ns < self._span.until_ns:
            self._seen_ns = sample.sampled_at_ns
        is_shown = sample.sampled_at_ns in self._span
        if is_shown:
            self._shown += 1
        else:
            self._before += 1
        if self._retrace.answer(Sample(sample.id, sample.values)) is None:
            self._lacks |= {self._retrace.lack} if is_shown else set()
            return
        predictor = self._retrace.predictor
        if is_shown and predictor and measures(predictor):
            told: Mapping[str, tuple[float, float]] = predictor.statistics()
            self.folds.add(sample.sampled_at_ns, told)


def _told(remark: str) -> dict[str, Any]:
    return {"charts": [], "remark": remark}


def _local(at_ns: int) -> str:
    return f"{datetime.fromtimestamp(at_ns / 1e9).astimezone():%Y-%m-%d %H:%M}"
