"""Predictors that keep what they are given, and the lines that give it."""

from collections.abc import Callable, Sequence

from hypothesis import strategies as st
from support.store import OpenLines, send_on

from broker.model import Answer, Refusal, Sample
from wire.metadata import StreamHeader

id_runs = st.sets(st.integers(0, 40), min_size=1, max_size=15).map(sorted)


class Recording:
    """A black box with state: its answers depend on how many samples it has seen."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def predict(self, sample: Sample) -> bool:
        self.seen.append(sample.id)
        return hash((sample.id, len(self.seen))) % 3 == 0


class Raising(Recording):
    """Raises on the ids that a test names."""

    def __init__(self, bad_ids: set[int]) -> None:
        super().__init__()
        self._bad_ids = bad_ids

    def predict(self, sample: Sample) -> bool:
        if sample.id in self._bad_ids:
            raise ArithmeticError(f"no logarithm of {sample.id}")
        return super().predict(sample)


class Workshop:
    """Makes black boxes, and keeps them in order."""

    def __init__(self, make: Callable[[], Recording] = Recording) -> None:
        self._make = make
        self.made: list[Recording] = []

    def __call__(self) -> Recording:
        self.made.append(self._make())
        return self.made[-1]

    @property
    def seen(self) -> list[list[int]]:
        """What each black box was given."""
        return [box.seen for box in self.made]

    @property
    def all_seen(self) -> list[int]:
        return [id_ for seen in self.seen for id_ in seen]


def header(first_id: int = 0, session: int = 0, agent: str = "a") -> StreamHeader:
    return StreamHeader(agent, f"{session:032x}", first_id, 0, 0)


def samples(ids: Sequence[int]) -> list[Sample]:
    return [Sample(id_, (0.0, 0.0, 0.0, 0.0)) for id_ in ids]


async def answer(
    lines: OpenLines, ids: Sequence[int], session: int = 0, agent: str = "a"
) -> tuple[list[Answer], Refusal | None]:
    """Open a stream, send the ids at once, and close it."""
    with await lines.open(header(ids[0], session, agent)) as stream:
        return await send_on(stream, samples(ids))


def ids_of(answers: Sequence[Answer]) -> list[int]:
    return [each.id for each in answers]
