"""Black boxes that work in threads: what waits for them, and what does not."""

import asyncio
import re
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chain import Chain, Forgetful
from support.patience import PATIENCE_S
from support.store import OpenLines, expected, header, lines_in, sample, select, send

from broker.line import Line
from broker.model import Answer, Code, Sample
from broker.predictors import Predictor
from broker.stream import Stream
from broker.workers import Threads

many = settings(derandomize=True, deadline=None, max_examples=15)

_OF_A = "SELECT id FROM samples JOIN lines USING (line) WHERE agent_id = 'a' ORDER BY position"


@pytest.fixture(scope="module")
def two() -> Threads:
    return Threads(2)


class Gate:
    """Where black boxes wait, at the ids that a test names, until it lets them go on."""

    def __init__(self, *ids: int) -> None:
        self._ids = ids
        self._reached = threading.Event()
        self._opened = threading.Event()
        self.seen: list[int] = []
        """The ids that any black box was asked about, in the order of asking."""

    def make(self) -> Predictor:
        gate = self

        class Waiting(Chain):
            def predict(self, sample: Sample) -> bool:
                gate.seen.append(sample.id)
                if sample.id in gate._ids:
                    gate._reached.set()
                    assert gate._opened.wait(PATIENCE_S)
                return super().predict(sample)

        return Waiting()

    async def reached(self) -> None:
        assert await asyncio.to_thread(self._reached.wait, PATIENCE_S)

    def open(self) -> None:
        self._opened.set()


@asynccontextmanager
async def held(lines: OpenLines, gate: Gate, *ids: int) -> AsyncIterator[asyncio.Task[object]]:
    """While a stream of agent a waits for its black box, at the gate; it ends before the lines."""
    sending = asyncio.create_task(send(lines, ids))
    try:
        await gate.reached()
        yield sending
    finally:
        gate.open()
        await asyncio.gather(sending, return_exceptions=True)


async def line_of_a(lines: OpenLines) -> Line:
    with await lines.open(header()) as stream:
        return stream.line


async def cut(task: asyncio.Task[object]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


# Other lines, and the order within one


async def test_answers_of_a_slow_black_box_do_not_wait_for_those_behind_them(
    two: Threads,
) -> None:
    for workers in (two, None):
        lines = OpenLines(Chain, workers=workers, slice_s=-1.0)  # each takes longer than that
        with await lines.open(header()) as stream:
            answers, refusal = await stream.answer([sample(id_) for id_ in range(5)])
            assert (answers, refusal) == (expected(Chain(), [0]), None)
            assert await stream.answer([]) == ([], None)


async def test_a_black_box_that_is_busy_for_long_is_named(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(7)
    with lines_in(path, gate.make, workers=Threads(2, slow_s=0.0)) as lines:
        async with held(lines, gate, 6, 7):
            pass
    assert re.search("a(, behind sample 6)?: the predictor has not answered for 0 s", caplog.text)


async def test_a_black_box_that_works_for_long_leaves_the_other_lines_alone(
    path: Path, two: Threads
) -> None:
    gate = Gate(7)
    with lines_in(path, gate.make, workers=two) as lines:
        async with held(lines, gate, *range(9)) as holding:
            for first in range(0, 6, 2):
                answers, refusal = await send(lines, [first, first + 1], agent=f"b{first}")
                assert (answers, refusal) == (expected(Chain(), [first, first + 1]), None)
            with await lines.open(None) as plain:
                assert (await plain.answer([sample(0)]))[0] == expected(Chain(), [0])
            assert not holding.done()
        assert holding.result() == (expected(Chain(), range(9)), None)


async def test_a_restore_that_takes_long_leaves_the_other_lines_alone(
    path: Path, two: Threads
) -> None:
    with lines_in(path, Chain) as lines:
        await send(lines, range(10))
    gate = Gate(5)
    with lines_in(path, gate.make, workers=two) as lines:
        async with held(lines, gate, 10, 11) as holding:
            answers, refusal = await send(lines, [0, 1], agent="b")
            assert (answers, refusal) == (expected(Chain(), [0, 1]), None)
            assert not holding.done()
        assert holding.result() == (expected(Chain(), range(12))[10:], None)


scripts = st.lists(
    st.tuples(st.integers(1, 60), st.integers(0, 40), st.booleans()), min_size=1, max_size=6
)


@many
@given(scripts, st.sampled_from([Chain, Forgetful]))
async def test_threads_change_no_answer_and_no_record_whatever_is_resent_and_restarted(
    two: Threads, script: list[tuple[int, int, bool]], make: Callable[[], Predictor]
) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        bounds = {"snapshot_every": 25, "slice_s": 0.0}  # one sample a slice
        path = Path(folder, "broker.db")
        broker = stack.enter_context(ExitStack())
        lines = broker.enter_context(lines_in(path, make, workers=two, **bounds))
        wanted: list[Answer] = []
        box = make()
        for count, lost, restarts in script:
            ids = range(max(0, len(wanted) - lost), len(wanted) + count)
            wanted += expected(box, range(len(wanted), ids[-1] + 1))
            got = await asyncio.gather(*(send(lines, ids, agent=agent) for agent in "abc"))
            assert got == [(wanted[ids[0] :], None)] * 3
            if restarts:
                broker.close()
                lines = broker.enter_context(lines_in(path, make, workers=two, **bounds))
        rows = select(path, "SELECT line, id, prediction FROM samples ORDER BY line, position")
        assert rows == [(n, each.id, each.prediction) for n in (1, 2, 3) for each in wanted]


async def test_two_streams_of_a_line_never_ask_its_black_box_at_the_same_time(
    path: Path, two: Threads
) -> None:
    gate = Gate(3)
    with lines_in(path, gate.make, workers=two) as lines:
        async with held(lines, gate, *range(4)) as older:
            newer = asyncio.create_task(send(lines, [100, 101], session=1))
            await send(lines, [50, 51], agent="b")  # behind it, in the other thread
            assert gate.seen == [0, 1, 2, 3, 50, 51]
            gate.open()
            box = Chain()
            wanted = expected(box, range(4)), None
            assert await older == wanted
            assert await newer == (expected(box, [100, 101]), None)


# Streams that are cut


async def test_what_was_begun_for_a_stream_that_is_cut_is_recorded_and_not_asked_again(
    path: Path, two: Threads, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(3)
    with lines_in(path, gate.make, workers=two) as lines:
        line = await line_of_a(lines)
        async with held(lines, gate, *range(5)) as sending:
            await cut(sending)
            assert line.streams == 1
            again = asyncio.create_task(send(lines, range(2, 7)))
            await send(lines, [50], agent="b")
            assert gate.seen == [0, 1, 2, 3, 50]
            gate.open()
            answers, refusal = await again
        assert (answers, refusal) == (expected(Chain(), range(7))[2:], None)
        assert line.streams == 0
        assert gate.seen == [0, 1, 2, 3, 50, 4, 5, 6]
    assert select(path, _OF_A) == [(n,) for n in range(7)]
    assert "and now from" not in caplog.text  # nobody streams under its name


async def test_streams_that_are_cut_before_their_turn_leave_nothing_behind(
    path: Path, two: Threads
) -> None:
    gate = Gate(3)
    with lines_in(path, gate.make, workers=two) as lines:
        line = await line_of_a(lines)
        async with held(lines, gate, *range(4)):
            for session in range(1, 20):
                waiting = asyncio.create_task(send(lines, [100 * session], session))
                await send(lines, [50], agent="b")  # it has come as far as it can
                await cut(waiting)
                assert line.streams == 1
        assert (await send(lines, [4, 5]))[1] is None
    assert [id_ for id_ in gate.seen if id_ != 50] == list(range(6))


async def test_a_plain_stream_that_is_cut_ends_its_line_when_its_black_box_has_ended(
    path: Path, two: Threads
) -> None:
    gate = Gate(3)
    with lines_in(path, gate.make, workers=two) as lines:

        async def stream(opened: Stream) -> None:
            with opened:
                await opened.answer([sample(id_) for id_ in range(5)])

        plain = await lines.open(None)
        sending: asyncio.Task[object] = asyncio.create_task(stream(plain))
        await gate.reached()
        await cut(sending)
        assert plain.line.streams == 1
        gate.open()
        async with asyncio.timeout(PATIENCE_S):
            while plain.line.streams:  # noqa: ASYNC110
                await asyncio.sleep(0)
    assert select(path, "SELECT id FROM samples") == [(n,) for n in range(len(gate.seen))]


# What is raised in a thread


class Panic(BaseException):
    """As a library in another language ends."""


class Raising(Chain):
    def __init__(self, error: type[BaseException] = ArithmeticError) -> None:
        super().__init__()
        self._error = error

    def predict(self, sample: Sample) -> bool:
        if sample.id == 3:
            raise self._error("of 3")
        return super().predict(sample)


@pytest.mark.parametrize("error", [ArithmeticError, SystemExit, StopIteration, Panic])
@pytest.mark.parametrize("stored", [False, True])
async def test_a_raise_in_a_thread_refuses_its_sample_and_no_other_line_notices(
    error: type[BaseException], stored: bool, path: Path, two: Threads
) -> None:
    def make() -> Raising:
        return Raising(error)

    with ExitStack() as stack:
        if stored:
            lines = stack.enter_context(lines_in(path, make, workers=two))
        else:
            lines = OpenLines(make, workers=two)
        with await lines.open(header(agent="b")) as other:
            assert (await other.answer([sample(0)]))[1] is None
            answers, refusal = await send(lines, range(6))
            assert answers == expected(Chain(), range(3))
            assert refusal.code is Code.INTERNAL
            assert refusal.sample_id == 3
            assert (await other.answer([sample(1)]))[0] == expected(Chain(), range(2))[1:]
        assert (await send(lines, [4, 5]))[1] is None


@pytest.mark.parametrize("threads", [0, 1])
async def test_whatever_a_black_box_raises_costs_its_sample_alone(path: Path, threads: int) -> None:
    workers = Threads(threads) if threads else None
    with lines_in(path, lambda: Raising(Panic), workers=workers) as lines:
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(3):
                answers, refusal = await send(lines, range(6))
                assert answers == expected(Chain(), range(3))
                assert refusal.code is Code.INTERNAL
            assert (await send(lines, [4, 5]))[0] == expected(Chain(), [0, 1, 2, 4, 5])[3:]
    rows = select(path, "SELECT id FROM samples ORDER BY position")
    assert rows == [(0,), (1,), (2,), (4,), (5,)]


@pytest.mark.parametrize("error", [OSError("gone"), SystemExit(1), StopIteration(), Panic("gone")])
async def test_a_black_box_that_cannot_be_made_in_a_thread_refuses_until_it_can(
    error: BaseException, path: Path, two: Threads
) -> None:
    with lines_in(path, Chain) as lines:
        await send(lines, range(3))
    makes: list[BaseException | None] = [error, None]

    def make() -> Chain:
        if raised := makes.pop(0):
            raise raised
        return Chain()

    with lines_in(path, make, workers=two) as lines:
        async with asyncio.timeout(PATIENCE_S):
            answers, refusal = await send(lines, [2, 3])
            assert answers == expected(Chain(), range(3))[2:]
            assert refusal.code is Code.INTERNAL
            assert (await send(lines, [3]))[0] == expected(Chain(), range(4))[3:]
