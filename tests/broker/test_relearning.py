"""What the log says at the first start with another predictor."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.chain import Chain
from support.store import OpenLines, header, lines_in, sample, send, send_on

from broker.recorder.opening import open_reader
from broker.recorder.reader import Span

EVERY = 5


class Student(Chain):
    """Learns from a hundred samples."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def predict(self, taken: object) -> bool:
        self.seen += 1
        return super().predict(taken)  # type: ignore[arg-type]

    def learning(self) -> tuple[int, int] | None:
        return (self.seen, 100) if self.seen < 100 else None


async def come(lines: OpenLines, agents: Sequence[str], count: int) -> None:
    """These agents send a sample at once, at 10 a second."""

    async def one(agent: str) -> None:
        with await lines.open(header(count, agent=agent, period_ns=10**8)) as stream:
            await send_on(stream, [sample(count)])

    await asyncio.gather(*map(one, agents))


@pytest.mark.parametrize(
    ("count", "rest"),
    [
        (40, "the latest 40 recorded samples, and from 60 more samples (6 s)"),
        (200, "the latest 200 recorded samples"),
    ],
)
async def test_the_first_start_with_another_predictor_says_for_how_long_it_learns(
    count: int, rest: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with lines_in(path, Chain, digest="old", snapshot_every=EVERY) as lines:
        await send(lines, range(count))
    for _ in range(2):
        with lines_in(path, Student, digest="new") as lines:
            await come(lines, ["a"], count)
    assert caplog.messages == [
        "a: its snapshot is of another predictor (code, model or options), and is kept in case"
        f" that one comes back: this one learns again from {rest}"
    ]


async def test_a_broker_that_dies_before_its_first_answer_says_it_again_and_records_it(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with lines_in(path, Chain, digest="old", snapshot_every=EVERY) as lines:
        await send(lines, range(40))
    with lines_in(path, Student, digest="new") as lines:
        await lines.recorder.basis("a", with_snapshot=True)
    for id_ in (40, 41):
        with lines_in(path, Student, digest="new") as lines:
            await come(lines, ["a"], id_)
    assert len(caplog.messages) == 1
    kinds = [each.kind for each in await open_reader(path).events("a", Span())]
    assert [each for each in kinds if each in {"begun", "restored"}] == ["begun", "restored"]


async def test_of_many_agents_the_first_ten_are_named_and_those_that_come_together_counted(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    agents = [f"press-{number}" for number in range(14)]
    with lines_in(path, Chain, digest="old", snapshot_every=EVERY) as lines:
        for agent in agents:
            await send(lines, range(40), agent=agent)
    with lines_in(path, Student, digest="new") as lines:
        await come(lines, agents[:13], 40)
        *named, others = caplog.messages
        assert sum("its snapshot is of another predictor" in each for each in named) == 10
        assert others == (
            "3 agents more: their snapshots are of another predictor too, and are kept: this one"
            " learns again, the longest for another 6 s"
        )
        caplog.clear()
        await come(lines, agents[13:], 40)
        (named,) = caplog.messages
        assert named.startswith("press-13: its snapshot is of another predictor")
