"""How every recorder gives lines to their owners, by the docstring of `Recorder`."""

from pathlib import Path

import pytest
from support.recorders import Backend, InDatabase, InMemory, answers, batch, of
from support.store import header

from broker.errors import RecordError, TakenError
from broker.model import Alarm, Learning, Standing
from broker.recorder import Recorder
from broker.records import Event, EventKind, Opened

SHARED = [InMemory, InDatabase]  # one that several brokers may use at the same time


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
