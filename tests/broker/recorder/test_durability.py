"""What outlives the broker, in every recorder that can do it."""

import asyncio
from contextlib import (
    AsyncExitStack,
)
from pathlib import Path

import pytest
from support.patience import PATIENCE_S
from support.recorders import Backend, InDatabase, OnLoop, OnThread, answers, batch, of
from support.store import header

from broker.errors import RecordError
from broker.model import Alarm, Learning, Standing
from broker.records import Batch, Snapshot

DURABLE = [OnLoop, OnThread, InDatabase]  # one that outlives its broker, and can fail


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
