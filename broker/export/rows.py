"""The rows of an export: samples with what was said about them, a bounded number at a time."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from broker.model import Sample
from broker.predictors import BlackBox, measures
from broker.recorder.reader import Reader, RecordedSample, RecordedSnapshot, Span
from broker.records import MAX_NS
from broker.retrace import Retrace, history
from quartet.channels import CHANNELS
from wire.sensors import Sensors

# Samples whose explanations are read at once. They take some 5 MB of memory.
_AT_ONCE = 10_000

_FIXED = ("time", "session", "id", "prediction", "arrived", "explanation", "statistics")

Statistics = Mapping[str, tuple[float, float]]
"""The numbers behind an answer by name, each with its limit."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Some samples in the order in which the predictor saw them."""

    samples: Sequence[RecordedSample]
    said: Mapping[tuple[str, int], str]
    """Explanations by session and id."""
    statistics: Sequence[Statistics | None] | None = None
    """Of each sample; None in a place: not known. None: nobody wants them."""


def names_of(sensors: Sensors | None) -> list[str]:
    """Four names of columns, all different: as somebody told, with units; else by number."""
    numbered = [f"sensor{number}" for number in range(1, CHANNELS + 1)]
    names: list[str] = []
    for own, sensor in zip(numbered, sensors or (None,) * CHANNELS, strict=True):
        name = own
        if sensor:
            name = f"{sensor.name} ({sensor.unit})" if sensor.unit else sensor.name
        while name in (*_FIXED, *names) or (name != own and name in numbered):
            name = f"{own} {name}"
        names.append(name)
    return names


async def rows(reader: Reader, agent_id: str, span: Span) -> AsyncIterator[Rows]:
    """The samples of a span. StoreError."""
    held: list[RecordedSample] = []
    async for samples in reader.samples(agent_id, span):
        held += samples
        if len(held) >= _AT_ONCE:
            yield Rows(held, await explanations(reader, agent_id, held))
            held = []
    if held:
        yield Rows(held, await explanations(reader, agent_id, held))


async def rows_with_statistics(
    reader: Reader, agent_id: str, span: Span, black_box: BlackBox
) -> AsyncIterator[Rows]:
    """The same, with the numbers behind each answer where a replay gives them.

    StoreError; and whatever the predictor raises.
    """
    retrace = Retrace(black_box)
    held: list[RecordedSample] = []
    numbers: list[Statistics | None] = []
    async for some in history(reader, agent_id, span):
        for step in some:
            if isinstance(step, RecordedSnapshot):
                retrace.begin(step)
                continue
            retrace.answer(Sample(step.id, step.values))
            if step.sampled_at_ns in span:
                held.append(step)
                numbers.append(_numbers(retrace))
        if len(held) >= _AT_ONCE:
            yield Rows(held, await explanations(reader, agent_id, held), numbers)
            held, numbers = [], []
    if held:
        yield Rows(held, await explanations(reader, agent_id, held), numbers)


async def explanations(
    reader: Reader, agent_id: str, samples: Sequence[RecordedSample]
) -> dict[tuple[str, int], str]:
    """What was said about some samples, by session and id. StoreError."""
    times = [each.sampled_at_ns for each in samples]
    found = await reader.explanations(agent_id, Span(min(times), min(max(times), MAX_NS - 1) + 1))
    return {(each.session_id, each.id): each.text for each in found}


def _numbers(retrace: Retrace) -> Statistics | None:
    predictor = retrace.predictor
    if predictor is None or not measures(predictor):
        return None
    told = predictor.statistics()
    return {name: (float(value), float(limit)) for name, (value, limit) in told.items()} or None
