"""What a store has on record of a line apart from its samples."""

from pathlib import Path

from support.chain import Chain
from support.read import Place

from broker.model import Sample
from broker.recorder.opening import open_reader
from broker.recorder.reader import LineState, Reader, Span

LONG_S = 3600.0
"""A tick that never comes: then only commits that happen anyway write anything."""


class Threshold(Chain):
    """True above five, and says why; it learns from one sample."""

    _value = 0.0

    def predict(self, sample: Sample) -> bool:
        super().predict(sample)
        self._value = sample.values[0]
        return self._value > 5.0

    def explain(self) -> str | None:
        return f"sensor1 at {self._value:g}" if self._value > 5.0 else None


def reader_of(where: Path | Place) -> Reader:
    return open_reader(where) if isinstance(where, Path) else where.reader


async def events(
    where: Path | Place,
    agent: str = "a",
    span: Span = Span(),  # noqa: B008
) -> list[tuple[str, str]]:
    return [(each.kind, each.text) for each in await reader_of(where).events(agent, span)]


async def state(where: Path | Place, agent: str = "a") -> LineState:
    found = {each.agent_id: each for each in await reader_of(where).lines()}
    return found[agent]


def rows(first_id: int, *values: float) -> list[Sample]:
    return [Sample(id_, (value, 0.0, 0.0, 0.0)) for id_, value in enumerate(values, first_id)]
