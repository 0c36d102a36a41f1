"""What every recorder must do, by the docstring of `Recorder`. One suite for all of them."""

import asyncio
import math
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.patience import PATIENCE_S
from support.postgres import Database, Server, full_server
from support.store import full_disk, header, select

from broker.errors import RecordError, TakenError
from broker.metering import Meter, MeteredRecorder
from broker.model import Alarm, Answer, Learning, Sample, Standing
from broker.recorder import Recorder
from broker.recorder.memory import Memory, MemoryRecorder
from broker.recorder.postgres.keeping import FleetKeeping
from broker.recorder.postgres.recorder import PostgresRecorder
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.recorder import SqliteRecorder
from broker.records import Basis, Batch, Claim, Event, EventKind, Opened, Snapshot
from wire.sensors import Label, encode

many = settings(derandomize=True, deadline=None, max_examples=60)

REHEARSALS = 3


class InMemory:
    """Recorders that share one memory."""

    def __init__(self, _: Path) -> None:
        self._memory = Memory(rehearsals=REHEARSALS)

    def opened(self, _: str = "") -> AbstractAsyncContextManager[Recorder]:
        """One owner's recorder, of this predictor; another call is another owner's."""
        return nullcontext(MemoryRecorder(self._memory))


class Metered(InMemory):
    """The same, whose commits are counted and timed."""

    @asynccontextmanager
    async def opened(self, digest: str = "d1") -> AsyncIterator[Recorder]:
        async with super().opened(digest) as recorder:
            yield MeteredRecorder(recorder, Meter())


class OnDisk:
    """The recorder of a file, which has one owner. Made as one of those below."""

    QUICK_S: float

    def __init__(self, folder: Path) -> None:
        self.path = folder / "broker.db"

    @asynccontextmanager
    async def opened(self, digest: str = "d1") -> AsyncIterator[Recorder]:
        keeping = Keeping(rehearsals=REHEARSALS)
        with SqliteRecorder(
            *(self.path, digest, keeping), tick_s=0.01, quick_s=self.QUICK_S
        ) as recorder:
            yield recorder

    async def lose(self) -> None:
        """Have the records where no broker finds them."""
        self.path.rename(self.path.with_name("lost"))

    async def find(self) -> None:
        """Have them back."""
        self.path.with_name("lost").rename(self.path)

    @asynccontextmanager
    async def full(self) -> AsyncIterator[None]:
        """No sample can be recorded while entered."""
        with full_disk(self.path):
            yield

    async def select(self, query: str) -> list[tuple[Any, ...]]:
        return select(self.path, query)

    def bytes(self) -> list[bytes]:
        """What is on the disk: the file, and the log of its commits."""
        return [Path(f"{self.path}{log}").read_bytes() for log in ("", "-wal")]


class OnLoop(OnDisk):
    """The same, whose event loop commits whatever it can, however long that takes."""

    QUICK_S = math.inf


class OnThread(OnDisk):
    """The same, whose thread makes all commits."""

    QUICK_S = 0.0


class InDatabase:
    """The recorders of brokers that share a database."""

    def __init__(self, server: Server, _: Path) -> None:
        self._server = server
        self._database: Database | None = None

    @property
    def database(self) -> Database:
        assert self._database
        return self._database

    @asynccontextmanager
    async def opened(self, digest: str = "d1") -> AsyncIterator[Recorder]:
        self._database = self._database or await self._server.emptied()
        keeping = FleetKeeping(rehearsals=REHEARSALS)
        short = {"tick_s": 0.01, "house_s": 0.01, "trouble_s": 0.0}
        async with PostgresRecorder(self.database.url, digest, keeping, **short) as recorder:
            yield recorder

    async def lose(self) -> None:
        """Have the records where no broker finds them."""
        await self.database.lose()

    async def find(self) -> None:
        """Have them back."""
        await self.database.find()

    def full(self) -> AbstractAsyncContextManager[None]:
        """No sample can be recorded while entered."""
        return full_server(self.database)

    async def select(self, query: str) -> list[tuple[Any, ...]]:
        return await self.database.select(query)


Store = InMemory | OnDisk | InDatabase
Backend = Callable[[Path], Any]

BACKENDS = [InMemory, Metered, OnLoop, OnThread, InDatabase]
SHARED = [InMemory, InDatabase]  # one that several brokers may use at the same time
DURABLE = [OnLoop, OnThread, InDatabase]  # one that outlives its broker, and can fail


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Backend:
    """Makes records of one kind, which are in a folder if they are in files."""
    if request.param is InDatabase:
        return partial(InDatabase, request.getfixturevalue("postgres"))
    return request.param


def of(kinds: list[type[Store]]) -> pytest.MarkDecorator:
    """For each of these backends."""
    return pytest.mark.parametrize("backend", kinds, indirect=True)


@asynccontextmanager
async def opened(backend: Backend) -> AsyncIterator[Recorder]:
    with tempfile.TemporaryDirectory() as folder:
        async with backend(Path(folder)).opened() as recorder:
            yield recorder


@pytest.fixture(params=BACKENDS)
async def recorder(request: pytest.FixtureRequest) -> AsyncIterator[Recorder]:
    backend = request.param
    if backend is InDatabase:
        backend = partial(InDatabase, request.getfixturevalue("postgres"))
    async with opened(backend) as recorder:
        yield recorder


def batch(claim: Claim, *ids: int, **more: object) -> Batch:
    """Samples of these ids; an odd one is predicted True."""
    return Batch(
        claim,
        [Sample(id_, (0.0, 1.0, 2.0, 3.0)) for id_ in ids],
        [Answer(id_, id_ % 2 == 1) for id_ in ids],
        **more,
    )


def answers(*ids: int) -> list[Answer]:
    return [Answer(id_, id_ % 2 == 1) for id_ in ids]


# Claims


async def test_a_line_that_is_new_has_no_records(recorder: Recorder) -> None:
    claim = await recorder.claim(header(5), "1.2.3.4:5")
    assert (claim.last_id, claim.has_records, claim.lease.is_good) == (None, False, True)
    assert (claim.header, claim.peer) == (header(5), "1.2.3.4:5")
    assert await recorder.answers(claim, 0, 100) == []
    assert recorder.pending_rebase(claim) == 0


async def test_a_claim_tells_the_last_id_of_its_session_alone(recorder: Recorder) -> None:
    for session, ids in ((1, (0, 1, 2)), (2, (7,)), (1, (5,))):
        claim = await recorder.claim(header(ids[0], session), "")
        await recorder.record(batch(claim, *ids))
    for session, last_id in ((1, 5), (2, 7), (3, None)):
        assert (await recorder.claim(header(0, session), "")).last_id == last_id
    assert (await recorder.claim(header(0, 1, agent="b"), "")).last_id is None


async def test_an_owner_gets_the_same_lease_at_every_opening(recorder: Recorder) -> None:
    first = await recorder.claim(header(), "")
    await recorder.record(batch(first, 0))
    for session in (0, 1):
        assert (await recorder.claim(header(session=session), "")).lease is first.lease
    assert (await recorder.claim(header(agent="b"), "")).lease is not first.lease


async def test_a_claim_sees_what_was_handed_over_before_it(recorder: Recorder) -> None:
    claim = await recorder.claim(header(), "")
    pending = [recorder.record(batch(claim, id_)) for id_ in range(50)]
    assert (await recorder.claim(header(), "")).last_id == 49
    for each in pending:
        await each


async def test_a_claim_tells_how_its_line_stands_by_the_latest_batch_that_said_so(
    recorder: Recorder,
) -> None:
    claim = await recorder.claim(header(), "")
    assert claim.standing == Standing()
    learning, alarm = Learning(2, 3), Alarm(5, "sensor2")
    for number, standing in enumerate(
        (
            *(Standing(learning), None, Standing(None, alarm), Standing(learning, alarm), None),
            *(Standing(shift="8 spreads off"), None, Standing()),
        )
    ):
        expected = standing or (await recorder.claim(header(), "")).standing
        await recorder.record(batch(claim, number, standing=standing))
        assert (await recorder.claim(header(session=number), "")).standing == expected
    assert (await recorder.claim(header(agent="b"), "")).standing == Standing()
    await recorder.record(batch(claim, 9, standing=Standing()))
    assert (await recorder.claim(header(), "")).standing == Standing()


async def test_what_happened_to_a_line_is_taken_and_changes_no_answer(recorder: Recorder) -> None:
    claim = await recorder.claim(header(), "")
    event = Event(EventKind.BEGUN, "by 'broker rebase'")
    await recorder.record(batch(claim, 0, events=[event], opened=Opened(5)))
    recorder.release(claim, Event(EventKind.ENDED, "the agent ended it"))
    other = await recorder.claim(header(session=1), "")
    recorder.release(other, Event(EventKind.ENDED, "the agent ended it"))  # nothing on record
    plain = await recorder.claim(None, "")
    await recorder.record(batch(plain, 0))
    recorder.release(plain, Event(EventKind.ENDED, "the agent ended it"))
    claim = await recorder.claim(header(), "")
    assert (claim.last_id, claim.standing) == (0, Standing())
    assert await recorder.answers(claim, 0, 100) == answers(0)


async def test_there_is_no_trouble_as_long_as_samples_are_recorded(recorder: Recorder) -> None:
    assert recorder.trouble == ""
    await recorder.record(batch(await recorder.claim(header(), ""), 0))
    assert recorder.trouble == ""


# Records


async def test_a_batch_is_recorded_whether_or_not_somebody_waits_for_it(
    recorder: Recorder,
) -> None:
    claim = await recorder.claim(header(), "")
    recorder.record(batch(claim, 0, 1))
    await recorder.record(batch(claim, 2))
    assert await recorder.answers(claim, 0, 100) == answers(0, 1, 2)


async def test_answers_are_those_of_the_range_and_of_the_session(recorder: Recorder) -> None:
    claim = await recorder.claim(header(), "")
    other = await recorder.claim(header(session=1), "")
    foreign = await recorder.claim(header(agent="b"), "")
    await recorder.record(batch(claim, 0, 1, 4, 5))
    await recorder.record(batch(other, 2, 3))
    await recorder.record(batch(foreign, 1))
    for first, count, ids in ((0, 100, (0, 1, 4, 5)), (1, 4, (1, 4)), (2, 2, ()), (6, 9, ())):
        assert await recorder.answers(claim, first, count) == answers(*ids)


async def test_a_claim_from_before_the_first_record_finds_it(recorder: Recorder) -> None:
    older = await recorder.claim(header(), "")
    newer = await recorder.claim(header(), "")
    await recorder.record(batch(older, 0, 1))
    assert await recorder.answers(newer, 0, 9) == answers(0, 1)
    await recorder.record(batch(newer, 2))
    assert await recorder.answers(older, 0, 9) == answers(0, 1, 2)


async def test_a_batch_without_a_sample_changes_no_answer(recorder: Recorder) -> None:
    claim = await recorder.claim(header(), "")
    await recorder.record(batch(claim, 0))
    await recorder.record(Batch(claim, duplicates=3))
    await recorder.record(Batch(claim, refused=1))
    assert (await recorder.claim(header(), "")).last_id == 0


async def test_plain_peers_have_lines_of_their_own(recorder: Recorder) -> None:
    one, other = [await recorder.claim(None, "1.2.3.4:5") for _ in range(2)]
    assert one.lease is not other.lease
    for claim in (one, other):
        assert (claim.last_id, claim.has_records) == (None, False)
        await recorder.record(batch(claim, 3, 3, -1))
        assert recorder.pending_rebase(claim) == 0
        recorder.release(claim)


async def test_rehearsals_are_bounded_and_cost_no_agent_anything(recorder: Recorder) -> None:
    async def claimed(name: str, *, is_rehearsal: bool) -> Claim:
        return await recorder.claim(replace(header(agent=name), is_rehearsal=is_rehearsal), "")

    async def last_id(name: str, *, is_rehearsal: bool) -> int | None:
        claim = await claimed(name, is_rehearsal=is_rehearsal)
        recorder.release(claim)
        return claim.last_id

    names = [f"rehearsal-{number}" for number in range(4 * REHEARSALS)]
    live = await claimed("live", is_rehearsal=True)
    await recorder.record(batch(live, 0, 1))
    for name in ("a", *names, "b"):
        claim = await claimed(name, is_rehearsal=name in names)
        await recorder.record(batch(claim, 0, 1, 2))
        recorder.release(claim)
    known = names
    async with asyncio.timeout(PATIENCE_S):
        while len(known) > REHEARSALS + 1:  # who is asked about has a stream for a moment
            known = [each for each in known if await last_id(each, is_rehearsal=True) is not None]
    assert known[1 - REHEARSALS :] == names[1 - REHEARSALS :]
    assert await last_id("a", is_rehearsal=False) == 2
    assert await last_id("b", is_rehearsal=False) == 2
    assert await last_id(names[-1], is_rehearsal=True) == 2
    await recorder.record(batch(live, 2))
    assert await recorder.answers(live, 0, 9) == answers(0, 1, 2)
    recorder.release(live)


async def test_a_device_that_streams_where_a_rehearsal_did_stays(recorder: Recorder) -> None:
    names = ["press-9", *(f"rehearsal-{number}" for number in range(4 * REHEARSALS))]
    for name, is_rehearsal in (("press-9", True), ("press-9", False), *((n, True) for n in names)):
        of = replace(header(agent=name), is_rehearsal=is_rehearsal)
        claim = await recorder.claim(of, "")
        first = batch(claim, 0 if claim.last_id is None else claim.last_id + 1)
        first.opened = Opened()
        await recorder.record(first)
        recorder.release(claim)
    known = names[1:]
    async with asyncio.timeout(PATIENCE_S):
        while len(known) > REHEARSALS + 1:  # who is asked about has a stream for a moment
            known = [each for each in known if await last_id(recorder, each) is not None]
    assert await last_id(recorder, "press-9") == 2


async def last_id(recorder: Recorder, agent: str) -> int | None:
    claim = await recorder.claim(header(agent=agent), "")
    recorder.release(claim)
    return claim.last_id


async def test_what_a_black_box_is_rebuilt_from_is_nothing_at_first(recorder: Recorder) -> None:
    await recorder.claim(header(), "")
    basis = await recorder.basis("a", with_snapshot=True)
    assert (basis.snapshot, basis.outdated) == (None, False)
    assert list(await recorder.samples("a", basis.position)) == []


@of(BACKENDS)
async def test_a_black_box_that_is_back_is_rebuilt_from_its_own_snapshot(
    backend: Backend, tmp_path: Path
) -> None:
    """The newest of each is kept, of the present one and of the latest three others."""
    disk = backend(tmp_path)
    newest: dict[str, int] = {}  # the latest is the last
    first, present = 0, ""
    for digest in ("d1", "d2", "d3", "d4", "d1", "d1", "d5", "d2", "d4"):
        async with disk.opened(digest) as recorder:
            claim = await recorder.claim(header(), "")
            basis = await recorder.basis("a", with_snapshot=True)
            if not claim.keeps_state:
                assert basis == Basis(position=0)
                continue
            assert await recorder.basis("a", with_snapshot=True) == basis
            is_kept = digest in [*newest][-4:]
            assert basis.is_back is basis.takes_over is (is_kept and digest != present)
            assert basis.outdated is (first > 0 and not is_kept)
            assert basis.snapshot == (digest.encode() if is_kept else None)
            samples = await recorder.samples("a", basis.position)
            before = newest.pop(digest, 0)
            seen = before if is_kept else 0
            assert [sample.id for _, sample in samples] == [*range(seen, first)]
            ids = range(first, first + 3)
            await recorder.record(batch(claim, *ids, snapshot=Snapshot(2, digest.encode())))
        newest[digest], present = first + 2, digest
        first += 3


visits = st.tuples(
    st.sampled_from("ab"), st.integers(0, 2), st.lists(st.integers(1, 3), max_size=5)
)


@of(BACKENDS)
@many
@given(script=st.lists(visits, max_size=15))
async def test_whatever_is_recorded_is_found_again(
    backend: Backend, script: list[tuple[str, int, list[int]]]
) -> None:
    wanted: dict[tuple[str, int], list[int]] = {}
    async with opened(backend) as recorder:
        for agent, session, steps in script:
            ids = wanted.setdefault((agent, session), [])
            claim = await recorder.claim(header(0, session, agent), "")
            assert claim.last_id == (ids[-1] if ids else None)
            for step in steps:
                ids.append(ids[-1] + step if ids else step)
                recorder.record(batch(claim, ids[-1]))
            assert await recorder.answers(claim, 0, 1000) == answers(*ids)
            recorder.release(claim)
        for (agent, session), ids in wanted.items():
            claim = await recorder.claim(header(0, session, agent), "")
            assert await recorder.answers(claim, 0, 1000) == answers(*ids)


@pytest.mark.parametrize("labels", [b"", encode((Label("oil", "°C"),) * 4), b"{", b"\xff" * 1024])
async def test_whatever_a_stream_calls_its_sensors_its_samples_are_recorded(
    labels: bytes, recorder: Recorder
) -> None:
    for session, id_ in ((0, 0), (1, 0), (0, 1)):
        claim = await recorder.claim(replace(header(session=session), sensors=labels), "")
        await recorder.record(batch(claim, id_, opened=Opened()))
        assert [*await recorder.answers(claim, id_, 1)] == answers(id_)
        recorder.release(claim)


# One writer a line, where several brokers share their records


@of(SHARED)
async def test_a_newer_claim_of_another_owner_voids_the_lease(
    backend: Backend, tmp_path: Path
) -> None:
    shared = backend(tmp_path)
    async with shared.opened() as one, shared.opened() as other:
        stale = await one.claim(header(), "")
        await one.record(batch(stale, 0))
        fresh = await other.claim(header(), "")
        assert (fresh.last_id, stale.lease is fresh.lease) == (0, False)
        assert fresh.lease.token > stale.lease.token
        for _ in range(2):
            with pytest.raises(TakenError, match="taken") as raised:
                await one.record(batch(stale, 1))
            assert raised.value.session_id == header().session_id
        with pytest.raises(TakenError, match="taken"):
            await one.answers(stale, 0, 9)
        await other.record(batch(fresh, 1))
        back = await one.claim(header(), "")
        assert (back.last_id, back.lease is stale.lease) == (1, False)
        with pytest.raises(RecordError, match="taken"):
            await other.record(batch(fresh, 2))


@of(SHARED)
async def test_other_lines_are_not_touched_by_a_claim(backend: Backend, tmp_path: Path) -> None:
    shared = backend(tmp_path)
    async with shared.opened() as one, shared.opened() as other:
        mine = await one.claim(header(agent="b"), "")
        await one.claim(header(), "")
        await other.claim(header(), "")
        await one.record(batch(mine, 0))
        assert mine.lease.is_good


# What outlives the broker


@of(DURABLE)
async def test_how_a_line_stands_outlives_its_broker(backend: Backend, tmp_path: Path) -> None:
    disk = backend(tmp_path)
    standing = Standing(Learning(2**62, 2**62), Alarm(2**63 - 1, "sensor2"), "8 spreads off")
    async with disk.opened() as recorder:
        claim = await recorder.claim(header(), "")
        await recorder.record(batch(claim, 0, standing=standing))
        await recorder.record(batch(claim, 1))
    async with disk.opened() as recorder:
        assert (await recorder.claim(header(session=1), "")).standing == standing


@of(DURABLE)
async def test_what_was_awaited_is_there_after_a_restart(backend: Backend, tmp_path: Path) -> None:
    store = backend(tmp_path)
    async with store.opened() as recorder:
        claim = await recorder.claim(header(), "")
        await recorder.record(batch(claim, 0, 1, 2, snapshot=Snapshot(2, b"two")))
    async with store.opened() as recorder:
        claim = await recorder.claim(header(), "")
        assert (claim.last_id, claim.has_records) == (2, True)
        assert await recorder.answers(claim, 0, 9) == answers(0, 1, 2)
        basis = await recorder.basis("a", with_snapshot=True)
        assert basis.snapshot == b"two"
        assert [sample.id for _, sample in await recorder.samples("a", basis.position)] == [2]
        afresh = await recorder.basis("a", with_snapshot=False)
        found = await recorder.samples("a", afresh.position)
        assert [sample.id for _, sample in found] == [0, 1, 2]
        assert list(await recorder.samples("a", found[-1][0])) == []


@of(DURABLE)
async def test_what_has_gathered_at_the_end_is_recorded(backend: Backend, tmp_path: Path) -> None:
    store = backend(tmp_path)
    async with store.opened() as recorder:
        claim = await recorder.claim(header(), "")
        for id_ in range(50):
            recorder.record(batch(claim, id_))
            await asyncio.sleep(0)
    async with store.opened() as recorder:
        claim = await recorder.claim(header(), "")
        assert await recorder.answers(claim, 0, 99) == answers(*range(50))


@of([OnLoop, OnThread])
async def test_a_claim_writes_nothing(backend: Backend, tmp_path: Path) -> None:
    store = backend(tmp_path)
    async with store.opened() as recorder:
        await recorder.record(batch(await recorder.claim(header(), ""), 0))
        before = store.bytes()
        for asked in (header(), header(session=1), header(agent="new"), None):
            await recorder.claim(asked, "")
        assert store.bytes() == before


@of(DURABLE)
async def test_a_failed_commit_voids_its_leases_and_no_other(
    backend: Backend, tmp_path: Path
) -> None:
    store = backend(tmp_path)
    async with store.opened() as recorder:
        other = await recorder.claim(header(agent="other"), "")
        await recorder.record(batch(other, 0))
        claim = await recorder.claim(header(), "")
        async with store.full():
            with pytest.raises(RecordError, match="cannot record"):
                await recorder.record(batch(claim, 0))
        assert not claim.lease.is_good
        for _ in range(2):
            with pytest.raises(RecordError, match="cannot record"):
                await recorder.record(batch(claim, 1))
        with pytest.raises(RecordError, match="cannot record"):
            await recorder.answers(claim, 0, 9)
        await recorder.record(batch(other, 1))
        fresh = await recorder.claim(header(), "")
        assert (fresh.last_id, fresh.lease.is_good) == (None, True)
        await recorder.record(batch(fresh, 0))


@of(DURABLE)
async def test_a_failed_commit_is_no_trouble_and_lost_records_are(
    backend: Backend, tmp_path: Path
) -> None:
    store = backend(tmp_path)
    async with store.opened() as recorder:
        claim = await recorder.claim(header(), "")
        await recorder.record(batch(claim, 0))
        async with store.full():
            with pytest.raises(RecordError, match="cannot record"):
                await recorder.record(batch(claim, 1))
        assert recorder.trouble == ""
        claim = await recorder.claim(header(), "")
        await store.lose()
        with pytest.raises(RecordError, match="cannot record"):
            await recorder.record(batch(claim, 1))
        assert recorder.trouble
        with pytest.raises(RecordError):
            await recorder.claim(header(), "")
        await store.find()
        async with asyncio.timeout(PATIENCE_S):
            while recorder.trouble:  # noqa: ASYNC110 - it looks by itself
                await asyncio.sleep(0.01)
        claim = await recorder.claim(header(), "")
        await recorder.record(batch(claim, 1))
        assert await recorder.answers(claim, 0, 9) == answers(0, 1)


@of(DURABLE)
async def test_a_recorder_that_is_closed_fails_whoever_still_asks(
    backend: Backend, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        recorder = await stack.enter_async_context(backend(tmp_path).opened())
        claim = await recorder.claim(header(), "")
        await stack.aclose()
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(RecordError, match="closed"):
                await recorder.record(batch(claim, 0))
            with pytest.raises(RecordError, match="closed"):
                await recorder.claim(header(), "")
            with pytest.raises(RecordError, match="closed"):
                await recorder.answers(claim, 0, 9)


@of(DURABLE)
async def test_a_number_of_an_undone_commit_is_nobody_elses(
    backend: Backend, tmp_path: Path
) -> None:
    """A plain peer whose first commit failed leaves, while another one streams."""
    store = backend(tmp_path)
    async with store.opened() as recorder:
        agent = await recorder.claim(header(), "")
        await recorder.record(batch(agent, 0))
        lost = await recorder.claim(None, "lost")
        async with store.full():
            with pytest.raises(RecordError):
                await recorder.record(batch(lost, 0))
        kept = await recorder.claim(None, "kept")
        await recorder.record(batch(kept, 0))
        recorder.release(lost)
        await recorder.record(batch(kept, 1))
        await recorder.record(batch(agent, 1))
    lines = "SELECT peer, count(*) FROM lines LEFT JOIN samples USING (line) GROUP BY line"
    assert await store.select(f"{lines} ORDER BY line") == [("", 2), ("kept", 2)]
    assert await store.select("SELECT count(*) FROM samples") == [(4,)]


@of(DURABLE)
async def test_the_counters_of_a_session_balance_whatever_batches_it_had(
    backend: Backend, tmp_path: Path
) -> None:
    store = backend(tmp_path)
    async with store.opened() as recorder:
        claim = await recorder.claim(header(), "")
        recorder.record(batch(claim, 0, 1))
        recorder.record(Batch(claim, duplicates=2))
        recorder.record(batch(claim, 5, gaps=[(2, 4)], refused=1))
        await recorder.record(Batch(claim, refused=1))
    columns = "received, answered, duplicates, refused, gaps, first_id, last_id"
    counters = await store.select(f"SELECT {columns} FROM sessions")  # noqa: S608
    assert counters == [(7, 3, 2, 2, 3, 0, 5)]
