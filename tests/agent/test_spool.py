import asyncio
import logging
import threading
import tracemalloc
from collections.abc import Iterator
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model import Reading, Sample, Session
from agent.spool import SAMPLE_BYTES, MemorySpool
from wire import MAX_ID

many = settings(derandomize=True, deadline=None, max_examples=200)

PERIOD_NS = 100_000_000
MAX_BYTES = 64 * 1024**2


def reading(number: int) -> Reading:
    return Reading((float(number), 0.0, 0.0, 0.0), number)


def numbers(samples: list[Sample]) -> list[int]:
    """Which readings the samples are, by their time."""
    return [sample.sampled_at_ns for sample in samples]


class Model:
    """What a spool of `room` samples holds, as lists of the readings' numbers."""

    def __init__(self, room: int) -> None:
        self._room = room
        self.waiting: list[int] = []
        self.in_flight: list[int] = []
        self.sampled = self.dropped = self.answered = self.unanswerable = 0

    def append(self) -> int:
        number = self.sampled
        self.sampled += 1
        self.waiting.append(number)
        if len(self.waiting) + len(self.in_flight) > self._room:
            self.waiting.pop(0)
            self.dropped += 1
        return number

    def read(self, limit: int) -> list[int]:
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        self.in_flight += taken
        return taken

    def rewind(self) -> None:
        self.waiting, self.in_flight = self.in_flight + self.waiting, []

    def settle(self, number: int, *, answered: bool) -> None:
        self.in_flight.remove(number)
        self.answered += answered
        self.unanswerable += not answered

    def assert_counts(self, spool: MemorySpool) -> None:
        assert spool.unanswered == len(self.waiting) + len(self.in_flight) <= self._room
        counts = (spool.sampled, spool.dropped, spool.answered, spool.unanswerable)
        assert counts == (self.sampled, self.dropped, self.answered, self.unanswerable)
        assert spool.sampled == (
            spool.answered + spool.unanswerable + spool.dropped + spool.unanswered
        )


operations = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 5)),
        st.tuples(st.just("read"), st.integers(1, 5)),
        st.tuples(st.just("settle"), st.integers(0, 9)),
        st.tuples(st.just("give up"), st.integers(0, 9)),
        st.tuples(st.just("rewind"), st.just(0)),
    ),
    max_size=60,
)


@many
@given(operations, st.integers(1, 12), st.sampled_from([0, 1, 6, MAX_ID]))
async def test_any_operations_agree_with_the_model(
    script: list[tuple[str, int]], room: int, max_id: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agent.spool.MAX_ID", max_id)
        spool = MemorySpool(room * SAMPLE_BYTES, PERIOD_NS)
        model = Model(room)
        taken: dict[int, Sample] = {}
        for operation, argument in script:
            match operation:
                case "append":
                    for _ in range(argument):
                        spool.append(reading(model.append()))
                case "read" if model.waiting:
                    samples = await spool.read(argument)
                    assert numbers(samples) == model.read(argument)
                    assert all(taken.setdefault(s.sampled_at_ns, s) == s for s in samples)
                case "settle" | "give up" if model.in_flight:
                    number = model.in_flight[argument % len(model.in_flight)]
                    spool.settle(taken[number], answered=operation == "settle")
                    model.settle(number, answered=operation == "settle")
                case "rewind":
                    spool.rewind()
                    model.rewind()
            model.assert_counts(spool)
        spool.finish()
        spool.rewind()
        model.rewind()
        rest = await spool.read(1_000)
        assert numbers(rest) == model.waiting
        assert await spool.read(1) == []
    assert_ids_without_gaps({**taken, **{s.sampled_at_ns: s for s in rest}}, max_id)


def assert_ids_without_gaps(samples: dict[int, Sample], max_id: int) -> None:
    """The n-th reading has the n-th id of its session, each of which is as long as ids reach."""
    for number, sample in samples.items():
        assert sample.id == number % (max_id + 1)
        assert sample.values == reading(number).values
    in_order = [samples[number] for number in sorted(samples)]
    sessions = [s for s, _ in groupby(s.session for s in in_order)]
    assert len({s.id for s in sessions}) == len(sessions)
    assert len(sessions) == len({number // (max_id + 1) for number in samples})


# Sessions


async def test_a_session_is_32_random_hex_digits_with_the_cadence() -> None:
    async def session() -> Session:
        spool = MemorySpool(MAX_BYTES, PERIOD_NS)
        spool.append(reading(0))
        return (await spool.read(1))[0].session

    sessions = [await session() for _ in range(20)]
    assert len({s.id for s in sessions}) == 20
    assert all(len(s.id) == 32 and int(s.id, 16) >= 0 for s in sessions)
    assert {s.period_ns for s in sessions} == {PERIOD_NS}


async def test_the_id_after_the_highest_starts_a_new_session_at_0(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent.spool.MAX_ID", 2)
    spool = MemorySpool(MAX_BYTES, PERIOD_NS)
    for number in range(5):
        spool.append(reading(number))
    samples = await spool.read(10)
    assert [s.id for s in samples] == [0, 1, 2, 0, 1]
    first, second = (next(g) for _, g in groupby(samples, key=lambda s: s.session.id))
    assert first.session.id != second.session.id
    assert first.session.period_ns == second.session.period_ns
    for sample in samples:  # the same id twice in flight, of two sessions
        spool.settle(sample, answered=True)
    assert (spool.answered, spool.unanswered) == (5, 0)


# A full spool


async def test_what_is_in_flight_is_never_dropped() -> None:
    spool = MemorySpool(3 * SAMPLE_BYTES, PERIOD_NS)
    for number in range(3):
        spool.append(reading(number))
    in_flight = await spool.read(3)
    for number in range(3, 10):
        spool.append(reading(number))
    assert (spool.unanswered, spool.dropped) == (3, 7)
    spool.settle(in_flight[0], answered=True)
    spool.append(reading(10))
    spool.rewind()
    assert numbers(await spool.read(9)) == [1, 2, 10]


async def test_the_oldest_that_waits_is_dropped() -> None:
    spool = MemorySpool(4 * SAMPLE_BYTES, PERIOD_NS)
    spool.append(reading(0))
    await spool.read(1)
    for number in range(1, 7):
        spool.append(reading(number))
    assert numbers(await spool.read(9)) == [4, 5, 6]


async def test_an_episode_of_drops_is_said_once_and_so_is_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "agent.spool")
    spool = MemorySpool(8 * SAMPLE_BYTES, PERIOD_NS)
    counter = iter(range(1_000))

    def levels_after_appending(count: int) -> list[int]:
        caplog.clear()
        for _ in range(count):
            spool.append(reading(next(counter)))
        return [record.levelno for record in caplog.records]

    assert levels_after_appending(8) == []
    assert levels_after_appending(20) == [logging.ERROR]
    assert "spool.max_bytes" in caplog.text
    assert levels_after_appending(20) == []
    for sample in await spool.read(3):
        spool.settle(sample, answered=True)
    assert levels_after_appending(1) == []  # not before it is half empty: 6 of 8
    for sample in await spool.read(5):
        spool.settle(sample, answered=True)
    assert levels_after_appending(1) == [logging.WARNING]
    assert "40 samples dropped" in caplog.text
    assert levels_after_appending(6) == []
    assert levels_after_appending(20) == [logging.ERROR]


async def test_a_sample_costs_no_more_memory_than_is_reckoned_with() -> None:
    count = 2_000
    spool = MemorySpool(count * SAMPLE_BYTES, PERIOD_NS)
    tracemalloc.start()
    try:
        for number in range(count):
            at_ns = 1_700_000_000_000_000_000 + number
            spool.append(Reading((number + 0.1, number + 0.2, number + 0.3, number + 0.4), at_ns))
        await spool.read(count)
        used_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used_bytes <= count * SAMPLE_BYTES


# The reader


@pytest.fixture
def bus() -> Iterator[list[threading.Thread]]:
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


async def test_a_reader_waits_for_a_sample_of_another_thread(bus: list[threading.Thread]) -> None:
    spool = MemorySpool(MAX_BYTES, PERIOD_NS)
    for number in range(20):
        waiting = asyncio.create_task(spool.read(5))
        await asyncio.sleep(0)
        assert not waiting.done()
        bus.append(threading.Thread(target=spool.append, args=(reading(number),), name="bus"))
        bus[-1].start()
        assert numbers(await asyncio.wait_for(waiting, 10)) == [number]


async def test_a_waiting_reader_is_told_that_no_sample_will_come(
    bus: list[threading.Thread],
) -> None:
    spool = MemorySpool(MAX_BYTES, PERIOD_NS)
    waiting = asyncio.create_task(spool.read(5))
    await asyncio.sleep(0)
    bus.append(threading.Thread(target=spool.finish, name="bus"))
    bus[-1].start()
    assert await asyncio.wait_for(waiting, 10) == []


async def test_a_reader_that_gave_up_waiting_costs_no_sample() -> None:
    spool = MemorySpool(MAX_BYTES, PERIOD_NS)
    waiting = asyncio.create_task(spool.read(5))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    spool.append(reading(0))
    assert numbers(await asyncio.wait_for(spool.read(5), 10)) == [0]
    waiting = asyncio.create_task(spool.read(5))
    await asyncio.sleep(0)
    spool.append(reading(1))
    assert numbers(await asyncio.wait_for(waiting, 10)) == [1]


def test_a_reading_that_comes_after_the_loop_ended_is_kept() -> None:
    async def wait_in_vain() -> MemorySpool:
        spool = MemorySpool(MAX_BYTES, PERIOD_NS)
        waiting = asyncio.create_task(spool.read(1))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return spool

    spool = asyncio.run(wait_in_vain())
    spool.append(reading(0))
    spool.finish()
    assert (spool.sampled, spool.unanswered) == (1, 1)


async def test_after_the_end_what_is_unanswered_is_given_again() -> None:
    spool = MemorySpool(MAX_BYTES, PERIOD_NS)
    spool.append(reading(0))
    spool.append(reading(1))
    spool.finish()
    assert numbers(await spool.read(1)) == [0]
    assert numbers(await spool.read(9)) == [1]
    assert await spool.read(9) == []
    spool.rewind()
    assert numbers(await spool.read(9)) == [0, 1]


async def test_readings_of_another_thread_are_read_once_and_in_order(
    bus: list[threading.Thread],
) -> None:
    spool = MemorySpool(MAX_BYTES, PERIOD_NS)

    def sample() -> None:
        for number in range(5_000):
            spool.append(reading(number))
        spool.finish()

    bus.append(threading.Thread(target=sample, name="bus"))
    bus[-1].start()
    got: list[int] = []
    async with asyncio.timeout(30):
        while samples := await spool.read(7):
            got += numbers(samples)
            for each in samples:
                spool.settle(each, answered=True)
    assert got == list(range(5_000))
    assert (spool.answered, spool.unanswered, spool.dropped) == (5_000, 0, 0)
