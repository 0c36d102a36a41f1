"""Lines that are brought back from the records after any death."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chain import Chain, Forgetful
from support.read import Place
from support.store import (
    expected,
    header,
    sample,
    send,
    send_on,
)

from broker.model import Answer, Code, Sample
from broker.predictors import Predictor

NewPlace = Callable[[], Awaitable[Place]]

many = settings(derandomize=True, deadline=None, max_examples=25)


async def test_a_black_box_that_exits_while_it_is_restored_ends_one_stream(place: Place) -> None:
    async with place.lines(Chain) as lines:
        await send(lines, range(5))

    def leave() -> Chain:
        raise SystemExit("no licence")

    async with place.lines(leave) as lines:
        answers, refusal = await send(lines, range(5, 9))
        assert answers == []
        assert refusal.code is Code.INTERNAL
        assert refusal.sample_id == 5


async def test_the_records_are_read_for_one_line_at_a_time(place: Place) -> None:
    agents = [f"a{number}" for number in range(20)]
    async with place.lines(Chain) as lines:
        for agent in agents:
            await send(lines, range(5), agent=agent)
    async with place.lines(Chain) as lines:
        look, most, under_way = lines.recorder.samples, 0, 0

        async def watched(agent_id: str, after: int) -> Sequence[tuple[int, Sample]]:
            nonlocal most, under_way
            under_way += 1
            most = max(most, under_way)
            found = await look(agent_id, after)
            under_way -= 1
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lines.recorder, "samples", watched)
            await asyncio.gather(*(send(lines, range(5, 9), agent=agent) for agent in agents))
        assert most == 1


@many
@given(
    st.sampled_from([Chain, Forgetful]),
    st.lists(
        st.tuples(
            st.integers(0, 1), st.integers(1, 60), st.integers(0, 40), st.booleans(), st.booleans()
        ),
        max_size=10,
    ),
)
async def test_a_line_goes_on_after_any_death_as_if_there_had_been_none(
    new_place: NewPlace,
    make: Callable[[], Predictor],
    script: list[tuple[int, int, int, bool, bool]],
) -> None:
    """Two sessions of an agent take turns; each resends some of its last."""
    place = await new_place()
    async with contextlib.AsyncExitStack() as broker:
        lines = await broker.enter_async_context(place.lines(make, snapshot_every=25))
        box = make()
        settled = {0: 0, 1: 0}
        answered: dict[int, list[Answer]] = {0: [], 1: []}
        for session, count, lost, restarts, orderly in script:
            first = max(0, settled[session] - lost)
            ids = range(first, settled[session] + count)
            answers, refusal = await send(lines, ids, session)
            assert refusal is None
            answered[session] += expected(box, ids[settled[session] - first :])
            assert answers == answered[session][first:]
            settled[session] += count
            if restarts:
                if not orderly:
                    place = await place.as_killed()
                await broker.aclose()
                lines = await broker.enter_async_context(place.lines(make, snapshot_every=25))


async def test_a_sample_that_raises_only_when_replayed_is_passed_over(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    class Picky(Forgetful):
        def predict(self, sample: Sample) -> bool:
            if sample.id in {3, 7}:
                raise ArithmeticError("new code")
            return super().predict(sample)

    async with place.lines(Forgetful) as lines:
        await send(lines, range(10))
    box = Forgetful()
    expected(box, [8, 9])
    async with place.lines(Picky) as lines:
        assert (await send(lines, range(10, 30)))[0] == expected(box, range(10, 30))
    said = [record.getMessage() for record in caplog.records]
    assert [message for message in said if "on the recorded sample 3" in message] == said


async def test_after_a_raise_the_black_box_is_rebuilt_from_its_records(place: Place) -> None:
    bad_ids = {5}

    class Touchy(Chain):
        def predict(self, sample: Sample) -> bool:
            if sample.id in bad_ids:
                self.state = b"spoilt"
                raise ArithmeticError
            return super().predict(sample)

    box = Chain()
    async with place.lines(Touchy) as lines:
        answers, refusal = await send(lines, range(8))
        assert refusal.code is Code.INTERNAL
        assert answers == expected(box, range(5))
        bad_ids.clear()
        assert (await send(lines, range(5, 8)))[0] == expected(box, range(5, 8))
    assert await place.select("SELECT received, answered, refused FROM sessions") == [(9, 8, 1)]


async def test_a_black_box_that_cannot_be_made_for_its_replay_refuses_until_it_can(
    place: Place,
) -> None:
    async with place.lines(Chain) as lines:
        await send(lines, range(3))
    makes = iter([OSError("model.bin is gone"), None])

    def make() -> Chain:
        if error := next(makes):
            raise error
        return Chain()

    box = Chain()
    expected(box, range(3))
    async with place.lines(make) as lines:
        answers, refusal = await send(lines, [2, 3])
        assert answers == expected(Chain(), range(3))[2:]
        assert refusal.code is Code.INTERNAL
        assert refusal.sample_id == 3
        assert "OSError: model.bin is gone" in str(refusal)
        assert (await send(lines, range(3, 20)))[0] == expected(box, range(3, 20))


async def test_streams_that_meet_in_a_restore_share_it_and_the_newest_wins(place: Place) -> None:
    made = []

    def make() -> Chain:
        made.append(Chain())
        return made[-1]

    async with place.lines(make) as lines:
        await send(lines, range(500))
    made.clear()
    async with place.lines(make) as lines:
        streams = await asyncio.gather(*(lines.open(header(500, n)) for n in range(5)))
        assert [lines.superseded_by(stream) for stream in streams] == [
            *(f"{n:032x}" for n in range(1, 5)),
            None,
        ]
        tasks = [asyncio.create_task(stream.answer([sample(500)])) for stream in streams]
        await asyncio.sleep(0)
        tasks[0].cancel()  # whoever began the restore may leave
        await asyncio.gather(*tasks, return_exceptions=True)
        box = Chain()
        expected(box, range(500))
        assert [task.result()[0][0] for task in tasks[1:]] == expected(box, [500] * 4)
        answers, _ = await send(lines, range(500, 520), session=4)
        assert answers[1:] == expected(box, range(501, 520))
    assert len(made) == 1


async def test_a_stream_whose_session_is_looked_up_does_not_win_over_one_that_came_later(
    place: Place,
) -> None:
    async with place.lines(Chain) as lines:
        await send(lines, [0], session=1)
        older, newer = await asyncio.gather(
            lines.open(header(0, session=2)), lines.open(header(1, session=1))
        )
    assert (lines.superseded_by(older), lines.superseded_by(newer)) == (f"{1:032x}", None)


async def test_a_long_replay_leaves_the_other_lines_their_turn(place: Place) -> None:
    slow_s = 0.001

    class Slow(Forgetful):
        def predict(self, sample: Sample) -> bool:
            end_s = asyncio.get_running_loop().time() + slow_s * (sample.id < 400)
            while asyncio.get_running_loop().time() < end_s:
                pass
            return super().predict(sample)

    async with place.lines(Slow) as lines:
        for agent in "abc":
            await send(lines, range(400), agent=agent)
    async with place.lines(Slow, slice_s=0.005) as lines:
        restores = [asyncio.create_task(send(lines, [400], agent=agent)) for agent in "abc"]
        others = 0
        while not all(restore.done() for restore in restores):
            _, refusal = await send(lines, [1000 + others], agent="live")
            assert refusal is None
            others += 1
    assert others > 20  # 1.2 s of replay, in slices of 5 ms


async def test_a_line_stays_in_memory_while_its_agent_opens_a_stream(place: Place) -> None:
    """Else what the older stream adds meanwhile would be computed twice."""
    async with place.lines(Chain, lines=1) as lines:
        older = (await lines.open(header())).__enter__()
        wanted, _ = await send_on(older, [sample(id_) for id_ in range(5)])
        claim = lines.recorder.claim

        async def late(*asked: object) -> object:
            claimed = await claim(*asked)
            lines.recorder.claim = claim
            more, _ = await send_on(older, [sample(id_) for id_ in range(5, 9)])
            wanted.extend(more)
            older.__exit__()
            await send(lines, [0], agent="b")  # would take its place
            return claimed

        lines.recorder.claim = late
        assert (await send(lines, range(3, 9)))[0] == wanted[3:]
    ids = "SELECT id FROM samples JOIN lines USING (line) WHERE agent_id = 'a' ORDER BY position"
    assert await place.select(ids) == [(id_,) for id_ in range(9)]


async def test_a_session_that_jumps_over_samples_between_two_streams_is_told(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """The records may be those of a backup: what came since is on none."""
    async with place.lines(Chain) as lines:
        await send(lines, range(7))
        await send(lines, [7, 9])  # within a stream: the agent has dropped one
        assert not caplog.records
    async with place.lines(Chain) as lines:
        await send(lines, [13])
        await send(lines, [14])
    assert [each.getMessage() for each in caplog.records if each.levelname == "WARNING"] == [
        "a: continues with sample 13, but its newest sample on record is 9: 3 samples are not on"
        " record between them. Either the agent has dropped them ('agent ledger' shows that), or"
        " the records were restored from a backup"
    ]
