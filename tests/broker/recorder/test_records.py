"""What every recorder keeps of batches, and finds again."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.patience import PATIENCE_S
from support.recorders import BACKENDS, REHEARSALS, Backend, answers, batch, last_id, of, opened
from support.store import header

from broker.recorder import Recorder
from broker.records import Basis, Batch, Claim, Opened, Snapshot
from wire.sensors import Label, encode

many = settings(derandomize=True, deadline=None, max_examples=60)


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
