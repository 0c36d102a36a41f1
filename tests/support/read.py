"""A broker whose records are read, and what was streamed to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import strategies as st
from support.chain import Chain
from support.clock import ManualClock
from support.store import OpenLines, header, lines_in, sample, send_on

from broker.model import Sample
from broker.recorder.opening import open_reader
from broker.recorder.reader import Reader, RecordedSample, Span


class Even(Chain):
    """True for an even id, and says so every tenth time."""

    def predict(self, sample: Sample) -> bool:
        super().predict(sample)
        self._id = sample.id
        return sample.id % 2 == 0

    def explain(self) -> str | None:
        return f"as {self._id} says" if self._id % 10 == 0 else None


@dataclass
class Site:
    """A broker and its reader, with what was streamed."""

    lines: OpenLines
    reader: Reader
    path: Path
    clock: ManualClock
    sent: list[tuple[str, int, int, int]] = field(default_factory=list)
    """Agent, session, id, and when it was taken."""

    async def stream(self, agent: str, session: int, first_id: int, count: int, at_ns: int) -> None:
        """Samples of which one is taken each 10 ns."""
        opened = header(first_id, session, agent, at_ns=at_ns, period_ns=10)
        ids = range(first_id, first_id + count)
        with await self.lines.open(opened, "1.2.3.4:5") as stream:
            await send_on(stream, [sample(id_) for id_ in ids])
        self.sent += [(agent, session, id_, at_ns + 10 * (id_ - first_id)) for id_ in ids]

    async def found(self, agent: str, span: Span = Span()) -> list[RecordedSample]:  # noqa: B008
        return [each async for some in self.reader.samples(agent, span) for each in some]


@contextmanager
def running(folder: Path) -> Iterator[Site]:
    path = folder / "broker.db"
    clock = ManualClock()
    with lines_in(path, Even, clock=clock) as lines:
        yield Site(lines, open_reader(path), path, clock)


runs = st.tuples(st.sampled_from("ab"), st.integers(1, 30), st.integers(0, 5), st.integers(1, 500))
spans = st.tuples(st.integers(0, 6000), st.integers(0, 6000)).map(sorted)
