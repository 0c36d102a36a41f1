"""What a store keeps of a line apart from its samples: events, its certificate, how it stands."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from support.certificates import Ca
from support.chain import Chain
from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.pruned import Bench
from support.read import Place
from support.scene import AGENT, request
from support.scene import header as agents_header
from support.store import (
    OpenLines,
    change,
    header,
    lines_in,
    sample,
    select,
    send,
    send_on,
)

from broker.access import Access
from broker.config import LimitsSettings
from broker.errors import RecordError
from broker.lines import Lines
from broker.model import Alarm, Answer, Learning, Sample, Standing
from broker.predictors import BlackBox, Predictor
from broker.recorder.opening import open_reader
from broker.recorder.reader import LineState, Reader, RecordedEvent, Span
from broker.recorder.sqlite.erasing import Eraser
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.recorder import SqliteRecorder
from broker.recorder.sqlite.schema import MIGRATIONS
from broker.recorder.sqlite.upkeep import SqliteUpkeep
from broker.records import MAX_NS, Batch, Event, EventKind, Opened
from broker.service import Service
from broker.status import read
from broker.stream import Stream
from broker.transport.memory import MemoryCall, MemoryTransport
from quartet.database import connect, transaction
from wire import METHOD_PATH
from wire.metadata import StreamHeader

LONG_S = 3600.0
"""A tick that never comes: then only commits that happen anyway write anything."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "broker.db"


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


@asynccontextmanager
async def opened_in(lines: OpenLines, opened: StreamHeader) -> AsyncIterator[Stream]:
    with await lines.open(opened) as stream:
        yield stream


async def is_bounded(place: Place, count: int) -> None:
    """Return when the store has no more events than that."""
    async with asyncio.timeout(PATIENCE_S):
        while await place.select("SELECT count(*) FROM events") != [(count,)]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def is_commanded(lines: OpenLines) -> None:
    """Return when the recorder's thread has seen the command to reset the predictor."""
    claim = await lines.recorder.claim(header(), "")
    while not lines.recorder.pending_rebase(claim):  # noqa: ASYNC110 - a thread's
        await asyncio.sleep(0.01)


def rows(first_id: int, *values: float) -> list[Sample]:
    return [Sample(id_, (value, 0.0, 0.0, 0.0)) for id_, value in enumerate(values, first_id)]


# Streams


@asynccontextmanager
async def serving(
    place: Place, clock: ManualClock, make: Callable[[], Predictor] = Chain
) -> AsyncIterator[Callable[..., MemoryCall]]:
    """A broker with a store; gives what opens a call."""
    async with place.recorder(clock) as recorder:
        access = Access(None, LimitsSettings(), None, clock)
        service = Service(Lines(BlackBox(make, "d"), recorder), access)
        transport = MemoryTransport()
        await transport.start({METHOD_PATH: service.serve})

        def call(session: int = 0, first_id: int = 0, **more: object) -> MemoryCall:
            metadata = agents_header(session, first_id).to_metadata()
            return transport.call(METHOD_PATH, metadata, peer="1.2.3.4:5", **more)

        async with asyncio.timeout(PATIENCE_S):
            yield call
            service.stop()
            await transport.stop(1.0)


async def answered(call: MemoryCall, id_: int) -> None:
    await call.send(request(id_))
    assert await call.receive()


async def test_each_stream_is_on_record_with_why_it_ended(place: Place) -> None:
    clock = ManualClock()
    async with serving(place, clock) as call:
        first = call()
        await answered(first, 0)
        clock.advance(1.0)
        first.done_sending()
        await first.ending()
        clock.advance(1.0)
        second = call(1)
        await answered(second, 0)
        clock.advance(1.0)
        second.cancel()
        await second.ending()
        clock.advance(1.0)
        third = call(2)
        await answered(third, 0)
        await third.send(request(0))
        await third.ending()
        clock.advance(1.0)
        fourth = call(3)
        await answered(fourth, 0)
    assert await events(place, AGENT) == [
        ("opened", "from 1.2.3.4:5"),
        ("ended", "the agent ended it"),
        ("opened", "from 1.2.3.4:5"),
        ("ended", "the connection broke"),
        ("opened", "from 1.2.3.4:5"),
        ("ended", "sample 0: expected an id above 0 (INVALID_ARGUMENT)"),
        ("opened", "from 1.2.3.4:5"),
        ("ended", "the broker is stopping (UNAVAILABLE)"),
    ]
    found = (await place.reader.events(AGENT, Span()))[1]
    at_ns = clock.time_ns() - 4 * 10**9
    assert found == RecordedEvent(at_ns, EventKind.ENDED, "the agent ended it")


async def test_an_older_stream_of_the_agent_is_superseded_and_the_newer_is_the_latest(
    place: Place,
) -> None:
    clock = ManualClock()
    async with serving(place, clock) as call:
        older = call()
        await answered(older, 0)
        clock.advance(1.0)
        newer = call(1)
        await answered(newer, 0)
        await older.ending()
        opened_ns = clock.time_ns()
        while "superseded" not in dict(await events(place, AGENT)):
            clock.advance(1.0)
            await asyncio.sleep(0.01)
        stream = (await state(place, AGENT)).stream
        assert stream
        assert (stream.kind, stream.at_ns) == (EventKind.OPENED, opened_ns)
    reason = "a newer stream of this agent id took over (ABORTED)"
    assert ("superseded", reason) in await events(place, AGENT)


async def test_the_end_of_a_stream_is_on_record_before_the_opening_of_the_next(
    place: Place,
) -> None:
    clock = ManualClock()
    async with place.recorder(clock, LONG_S) as recorder:
        claim = await recorder.claim(header(), "here")
        await recorder.record(Batch(claim, [sample(0)], [Answer(0, False)], opened=Opened()))
        clock.advance(1.0)
        recorder.release(claim, Event(EventKind.ENDED, "1"))
        clock.now_s -= 3600.0
        claim = await recorder.claim(header(session=1), "there")
        await recorder.record(Batch(claim, [sample(0)], [Answer(0, False)], opened=Opened()))
        stream = (await state(place)).stream
        assert stream
        assert (stream.kind, stream.text) == (EventKind.OPENED, "from there")
    texts = await place.select("SELECT text FROM events ORDER BY event")
    assert texts == [("from here",), ("1",), ("from there",)]


async def test_a_stream_that_only_opens_costs_no_commit_and_leaves_no_event(place: Place) -> None:
    clock = ManualClock()
    async with serving(place, clock) as call:
        before = await place.select("SELECT count(*) FROM events")
        opened = call()
        opened.done_sending()
        await opened.ending()
        clock.advance(5.0)
        await answered(call(1), 0)
        assert await place.select("SELECT count(*) FROM lines") == [(1,)]
        assert before == [(0,)]
    assert await events(place, AGENT) == [
        ("opened", "from 1.2.3.4:5"),
        ("ended", "the broker is stopping (UNAVAILABLE)"),
    ]


async def test_streams_without_a_sample_leave_no_end_unless_they_took_the_line_over(
    place: Place,
) -> None:
    clock = ManualClock()
    async with serving(place, clock) as call:
        first = call()
        await answered(first, 0)
        first.done_sending()
        await first.ending()
        for session in range(1, 30):
            idle = call(session)
            idle.done_sending()
            await idle.ending()
        clock.advance(2.0)  # else it would count as one with the first
        stalled = call(30)
        await answered(stalled, 0)
        newest = call(31)
        await stalled.ending()
        newest.done_sending()
        await newest.ending()
        while (await events(place, AGENT))[-1][0] != "ended":
            clock.advance(1.0)
            await asyncio.sleep(0.01)
    assert [kind for kind, _ in await events(place, AGENT)] == [
        *("opened", "ended", "opened", "superseded", "ended")
    ]


async def test_the_latest_stream_tells_until_when_its_certificate_is_valid(
    place: Place, tmp_path: Path
) -> None:
    ca = Ca(tmp_path)
    async with serving(place, ManualClock()) as call:
        for session, days in enumerate((90, 9, 2_000_000)):
            pem = Path(ca.issue(AGENT, days=days).certificate).read_bytes()  # noqa: ASYNC240
            stream = call(session, certificate=pem)
            await answered(stream, 0)
            until_ns = (await state(place, AGENT)).certificate_until_ns
            assert until_ns is not None
            assert until_ns <= MAX_NS
        await answered(call(9), 0)
        assert (await state(place, AGENT)).certificate_until_ns is None


# The predictor


async def test_a_predictor_that_is_restored_or_begins_again_is_on_record(place: Place) -> None:
    async with place.lines(Chain, digest="d1", snapshot_every=10) as lines:
        await send(lines, range(15))
    assert await events(place) == [
        ("opened", "from 1.2.3.4:5")
    ]  # a new line has nothing to restore
    async with place.lines(Chain, digest="d1", snapshot_every=10) as lines:
        await send(lines, range(15, 20))
        assert (await state(place)).begun is None
        await place.reader.command_rebase("a")
        await is_commanded(lines)
        await send(lines, range(20, 25))
    async with place.lines(Chain, digest="d2", snapshot_every=10) as lines:
        await send(lines, range(25, 30))
    assert [each for each in await events(place) if each[0] != "opened"] == [
        ("restored", "5 samples replayed"),
        ("begun", "a person asked for it"),
        ("begun", "another predictor (code, model or options); 5 samples replayed"),
    ]
    begun = (await state(place)).begun
    assert begun
    assert begun.text.startswith("another predictor")


async def test_an_alarm_lasts_from_its_first_sample_also_over_a_restart_and_in_a_backlog(
    place: Place,
) -> None:
    clock = ManualClock()
    opened = header(0, at_ns=10_000, period_ns=10)
    async with place.lines(Threshold, clock=clock) as lines, opened_in(lines, opened) as stream:
        await send_on(stream, rows(0, 1.0, 1.0, 7.0, 8.0))
    alarm = Alarm(10_020, "sensor1 at 7")
    assert (await state(place)).standing == Standing(None, alarm)
    clock.advance(3600.0)
    async with place.lines(Threshold, clock=clock) as lines:
        opened = header(4, at_ns=20_000, period_ns=10)
        with await lines.open(opened) as stream:
            assert lines.standing("a").alarm == alarm
            await send_on(stream, rows(4, 9.0))
            assert (await state(place)).standing.alarm == alarm
            await send_on(stream, rows(5, 1.0))
            assert (await state(place)).standing == Standing()
            await send_on(stream, rows(6, 6.0))
            assert (await state(place)).standing.alarm == Alarm(20_020, "sensor1 at 6")
        unpaced = header(7, at_ns=30_000)
        with await lines.open(unpaced) as stream:
            await send_on(stream, rows(7, 0.0))
            await send_on(stream, rows(8, 6.0))
            alarm = (await state(place)).standing.alarm  # since it arrived, as nobody says more
            assert alarm
            assert alarm.reason == "sensor1 at 6"
            assert alarm.since_ns > 30_000


async def test_after_a_reset_an_alarm_begins_again(place: Place) -> None:
    opened = header(0, at_ns=100, period_ns=10)
    async with place.lines(Threshold) as lines, opened_in(lines, opened) as stream:
        await send_on(stream, rows(0, 7.0, 7.0))
        await place.reader.command_rebase("a")
        await is_commanded(lines)
        await send_on(stream, rows(2, 8.0))
        assert (await state(place)).standing.alarm == Alarm(120, "sensor1 at 8")


class Follower(Threshold):
    """Follows its machine, once it has seen a value above five."""

    _shift: str | None = None

    def predict(self, sample: Sample) -> bool:
        answer = super().predict(sample)
        self._shift = f"{sample.values[0]:g} spreads off\n" if answer else self._shift
        return answer

    def shift(self) -> str | None:
        return self._shift

    def snapshot(self) -> bytes:
        return self.state + (self._shift or "").encode()

    def restore(self, state: bytes) -> None:
        self.state, self._shift = state[:16], state[16:].decode() or None


async def test_an_accepted_level_is_on_record_over_restarts_until_a_reset(path: Path) -> None:
    for first, value in ((0, 7.0), (1, 1.0)):
        with (
            lines_in(path, Follower, snapshot_every=1) as lines,
            await lines.open(header(first)) as stream,
        ):
            await send_on(stream, rows(first, value))
            assert (await state(path)).standing.shift == "7 spreads off "
    with lines_in(path, Follower) as lines:
        with await lines.open(header(2)) as stream:
            await open_reader(path).command_rebase("a")
            await is_commanded(lines)
            await send_on(stream, rows(2, 1.0))
        assert lines.standing("a").shift is None
    assert (await state(path)).standing == Standing()


class Delicate(Threshold):
    """Raises below zero."""

    def predict(self, sample: Sample) -> bool:
        if sample.values[0] < 0.0:
            raise ValueError("below zero")
        return super().predict(sample)


async def test_an_alarm_is_over_with_a_reset_also_where_the_first_sample_raises(
    place: Place,
) -> None:
    async with place.lines(Delicate) as lines:
        with await lines.open(header(0, at_ns=100, period_ns=10)) as stream:
            await send_on(stream, rows(0, 7.0))
            await place.reader.command_rebase("a")
            await is_commanded(lines)
            _, refusal = await stream.answer(rows(1, -1.0))
            assert refusal
        assert lines.standing("a").alarm is None
        assert (await state(place)).standing.alarm is None
        (agent,) = (await read(place.reader)).agents
        assert agent.alarm is None
        with await lines.open(header(2, at_ns=120, period_ns=10)) as stream:
            await send_on(stream, rows(2, 8.0))
        assert (await state(place)).standing.alarm == Alarm(120, "sensor1 at 8")


@pytest.mark.parametrize(("value", "alarm"), [(8.0, Alarm(120, "sensor1 at 8")), (1.0, None)])
async def test_an_alarm_is_over_with_the_predictor_that_raised_it(
    place: Place, value: float, alarm: Alarm | None
) -> None:
    for digest, first, values in (("d1", 0, (7.0, 7.0)), ("d2", 2, (value,))):
        opened = header(first, at_ns=100 + 10 * first, period_ns=10)
        async with (
            place.lines(Threshold, digest=digest, snapshot_every=1) as lines,
            opened_in(lines, opened) as stream,
        ):
            await send_on(stream, rows(first, *values))
    assert (await state(place)).standing.alarm == alarm


# What it costs, and how long it stays


async def test_events_are_bounded_by_line(place: Place) -> None:
    async with place.recorder(events=3) as recorder:
        for agent in "ab":
            claim = await recorder.claim(header(agent=agent), "")
            for id_ in range(10):
                event = Event(EventKind.RESTORED, f"{id_}")
                await recorder.record(
                    Batch(claim, [sample(id_)], [Answer(id_, False)], events=[event])
                )
        await is_bounded(place, 6)
    for agent in "ab":
        assert [text for _, text in await events(place, agent)] == ["7", "8", "9"]
    span = Span(0, 1)
    assert await events(place, "a", span) == []


async def test_reconnects_and_restarts_push_out_no_news_of_the_predictor(place: Place) -> None:
    async with place.recorder(events=3) as recorder:
        claim = await recorder.claim(header(), "")
        for id_ in range(10):
            said = [Event(EventKind.RESTORED, "")] if id_ else [Event(EventKind.BEGUN, "reset")]
            added = Batch(claim, [sample(id_)], [Answer(id_, False)], events=said)
            added.opened = Opened()
            await recorder.record(added)
        await is_bounded(place, 7)
    kinds = [kind for kind, _ in await events(place)]
    assert [kinds.count(kind) for kind in ("begun", "restored", "opened")] == [1, 3, 3]
    begun = (await state(place)).begun
    assert begun
    assert begun.text == "reset"


async def test_what_is_said_cannot_spoil_a_commit_nor_a_terminal(place: Place) -> None:
    said = "\ud800 \x1b[2J"
    async with place.recorder() as recorder:
        claim = await recorder.claim(header(), "")
        await recorder.record(
            Batch(claim, [sample(0)], [Answer(0, True)], events=[Event(EventKind.BEGUN, said)])
        )
        recorder.release(claim, Event(EventKind.ENDED, said))
    ((_, text), (_, other)) = await events(place)
    assert text == other
    assert text.isprintable()


def test_events_are_deleted_with_age_and_not_by_a_clock_that_was_just_set(tmp_path: Path) -> None:
    day_s = 86_400
    with Bench(tmp_path, replay=0, max_age_days=2) as bench:
        bench.line(1, "a")
        bench.samples(1, 1)
        add = "INSERT INTO events VALUES (NULL, ?2, ?1, 'opened', '')"
        count = "SELECT count(*) FROM events WHERE line = 1"
        first = bench.clock.time_ns()
        bench.connection.executemany(add, [(first, line) for line in range(100, 700)])
        bench.connection.executemany(add, [(first, 1)] * 1200)
        bench.clock.advance(day_s)
        bench.connection.execute(add, (bench.clock.time_ns(), 1))
        bench.clock.advance(1.5 * day_s)
        bench.restart()
        bench.prune(0.5)
        assert bench.connection.execute(count).fetchone() == (1201,)
        bench.prune(2.0)
        assert bench.connection.execute(count).fetchone() == (1,)
        bench.clock.advance(9 * day_s)
        bench.restart()
        bench.prune(2.0)
        assert bench.connection.execute(count).fetchone() == (1,)  # it may still be connected
        assert bench.connection.execute("SELECT count(*) FROM events").fetchone() == (601,)


def test_a_line_whose_history_is_given_up_has_no_events_and_stands_nowhere(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        bench.line(1, "a")
        bench.samples(1, 5)
        bench.connection.execute("INSERT INTO events VALUES (NULL, 1, 0, 'opened', '')")
        bench.connection.execute("INSERT INTO standings (line, alarm_since_ns) VALUES (1, 0)")
        eraser = Eraser(bench.connection, bench.clock)
        tables = "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM standings)"
        for room, left in ((2, (1, 1)), (3, (0, 0))):
            with transaction(bench.connection):
                eraser.cut(1, "a", room)
            assert bench.connection.execute(tables).fetchone() == left


async def test_forget_deletes_all_of_it(place: Place) -> None:
    standing = Standing(Learning(1, 2))
    async with place.recorder() as recorder:
        for agent in "ab":
            claim = await recorder.claim(header(agent=agent), "")
            await recorder.record(
                Batch(
                    *(claim, [sample(0)], [Answer(0, True)]),
                    opened=Opened(7),
                    standing=standing,
                )
            )
            recorder.release(claim, Event(EventKind.ENDED, "1"))
    assert await place.reader.command_forget("a") == 1
    for table in ("events", "standings"):
        assert await place.select(f"SELECT DISTINCT line FROM {table}") == [(2,)]  # noqa: S608
    assert (await state(place, "b")).standing == standing


async def test_a_failed_commit_leaves_no_event_and_loses_no_end_of_a_stream(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    clock = ManualClock()
    async with place.recorder(clock, LONG_S) as recorder:
        claim = await recorder.claim(header(), "")
        await recorder.record(Batch(claim, [sample(0)], [Answer(0, True)], opened=Opened()))
        async with place.full():
            recorder.release(claim, Event(EventKind.ENDED, "1"))
            failed = Batch(
                *(claim, [sample(1)], [Answer(1, True)]), standing=Standing(Learning(1, 2))
            )
            with pytest.raises(RecordError):
                await recorder.record(failed)
        claim = await recorder.claim(header(1), "")
        assert claim.standing == Standing()
        await recorder.record(Batch(claim, [sample(1)], [Answer(1, True)]))
    assert await events(place) == [("opened", "from "), ("ended", "1")]


async def test_ends_that_cannot_be_recorded_are_an_outage_of_their_own(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with place.recorder() as recorder:
        claim = await recorder.claim(header(), "")
        await recorder.record(Batch(claim, [sample(0)], [Answer(0, True)], opened=Opened()))
        async with asyncio.timeout(PATIENCE_S):
            async with place.full():
                recorder.release(claim, Event(EventKind.ENDED, "1"))
                while "cannot be recorded yet" not in caplog.text:  # noqa: ASYNC110 - a thread's
                    await asyncio.sleep(0.01)
            while "ends of streams are recorded again" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert "samples cannot be recorded" not in caplog.text
    assert await events(place) == [("opened", "from "), ("ended", "1")]


# Older stores, damage


async def test_a_store_of_schema_4_has_no_events_and_goes_on(path: Path) -> None:
    with closing(connect(path, MIGRATIONS[:4], "normal")) as connection:
        connection.executescript("""
            INSERT INTO lines VALUES (1, 'a', '1.2.3.4:5', NULL);
            INSERT INTO sessions
                VALUES (1, 1, hex(zeroblob(16)), 0, 0, 1, 1, 0, 0, 0, 'd', 0, NULL);
            INSERT INTO samples VALUES (1, 1, 1, 0, zeroblob(16), 0, 0, 1, NULL)
        """)
    with lines_in(path, Threshold, digest="d") as lines:
        found = await state(path)
        assert (found.standing, found.stream, found.begun) == (Standing(), None, None)
        with await lines.open(header(1, at_ns=10, period_ns=1)) as stream:
            await send_on(stream, rows(1, 9.0))
        assert (await state(path)).standing.alarm == Alarm(10, "sensor1 at 9")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("certificate_until_ns", "'soon'"),
        ("learned", "'few'"),
        ("to_learn", "1.5"),
        ("alarm_since_ns", "x'ff'"),
        ("alarm_reason", "x'ff'"),
        ("shift", "x'ff'"),
    ],
)
async def test_a_standing_that_is_damaged_is_left_out_found_and_mended(
    path: Path, column: str, value: str
) -> None:
    with SqliteRecorder(path, "d", Keeping()) as recorder:
        claim = await recorder.claim(header(), "")
        batch = Batch(claim, [sample(0)], [Answer(0, False)])
        batch.opened, batch.standing = Opened(7), Standing(Learning(1, 2), Alarm(3, "hot"), "far")
        await recorder.record(batch)
    change(path, f"UPDATE standings SET {column} = {value}")  # noqa: S608
    assert (await read(open_reader(path))).to_text()
    (problem,) = SqliteUpkeep(path).check().problems
    assert problem.what == "how line 1 stands cannot be read"
    SqliteUpkeep(path).repair()
    assert SqliteUpkeep(path).check().problems == []
    assert (await read(open_reader(path))).to_text()


async def test_a_repair_keeps_events_and_standings_and_a_check_finds_nothing(path: Path) -> None:
    standing = Standing(Learning(1, 2), Alarm(3, "sensor2"), "8 spreads off")
    with SqliteRecorder(path, "d", Keeping()) as recorder:
        for agent in "ab":
            claim = await recorder.claim(header(agent=agent), "")
            batch = Batch(claim, [sample(0)], [Answer(0, True)])
            batch.opened, batch.standing = Opened(7), standing
            await recorder.record(batch)
            recorder.release(claim, Event(EventKind.ENDED, "1"))
    assert SqliteUpkeep(path).check().problems == []
    change(path, "UPDATE events SET kind = 'noise' WHERE line = 2 AND text = '1'")
    change(path, "INSERT INTO events VALUES (NULL, 99, 0, 'opened', 'of a line that is lost')")
    change(path, "INSERT INTO standings (line) VALUES (99)")
    (problem,) = SqliteUpkeep(path).check().problems
    assert problem.what == "1 event cannot be read"
    SqliteUpkeep(path).repair()
    assert SqliteUpkeep(path).check().problems == []
    assert await events(path) == [("opened", "from "), ("ended", "1")]
    assert await events(path, "b") == [("opened", "from ")]
    for table in ("events", "standings"):
        assert select(path, f"SELECT DISTINCT line FROM {table} ORDER BY 1") == [(1,), (2,)]  # noqa: S608
    for agent in "ab":
        found = await state(path, agent)
        assert (found.standing, found.certificate_until_ns) == (standing, 7)
