"""A line: its order, its duplicates and its gaps, of agents and of plain peers."""

import asyncio
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from support.store import LONG_S, OpenLines, send_on
from support.workshop import Raising, Recording, Workshop, answer, header, id_runs, ids_of, samples

from broker.model import Answer, Code, Refusal
from broker.stream import Stream
from wire import MAX_ID

many = settings(derandomize=True, deadline=None, max_examples=80)


# Streams of an agent

streams = st.tuples(st.integers(0, 2), id_runs)


class Model:
    """What a line must remember of one session."""

    def __init__(self) -> None:
        self.answers: dict[int, Answer] = {}
        self.last_id: int | None = None


@many
@given(st.lists(streams, max_size=8), st.sampled_from([-1.0, LONG_S]), st.data())
async def test_new_ids_go_to_the_black_box_once_in_order_and_resent_ones_get_the_recorded_answer(
    script: list[tuple[int, list[int]]], slice_s: float, data: st.DataObject
) -> None:
    """In slices of one sample each, and in one slice."""
    workshop = Workshop()
    lines = OpenLines(workshop, slice_s=slice_s)
    line = (await lines.open(header())).line
    seen: list[int] = []
    duplicates = gaps = 0
    sessions: dict[int, Model] = {}
    for session, ids in script:
        model = sessions.setdefault(session, Model())
        answers, refusal = await in_two(await lines.open(header(ids[0], session)), ids, data)
        expected: list[int] = []
        for id_ in ids:
            if model.last_id is None or id_ > model.last_id:
                gaps += 0 if model.last_id is None else id_ - model.last_id - 1
                seen.append(id_)
                model.last_id = id_
                model.answers[id_] = answers[len(expected)]
            else:
                duplicates += 1
                if id_ not in model.answers:  # skipped by a jump, and sent late
                    break
                assert answers[len(expected)] == model.answers[id_]
            expected.append(id_)
        assert ids_of(answers) == expected
        if len(expected) == len(ids):
            assert refusal is None
        else:
            assert refusal.code is Code.OUT_OF_RANGE
            assert refusal.sample_id == ids[len(expected)]
    assert workshop.seen == ([seen] if seen else [])
    assert (line.duplicates, line.gaps) == (duplicates, gaps)
    assert line.received == len(seen) + duplicates


async def in_two(
    stream: Stream, ids: Sequence[int], data: st.DataObject
) -> tuple[list[Answer], Refusal | None]:
    """Send the ids in two batches, the second unless the first is refused."""
    split = data.draw(st.integers(0, len(ids)))
    answers, refusal = await send_on(stream, samples(ids[:split]))
    if refusal is None:
        more, refusal = await send_on(stream, samples(ids[split:]))
        answers += more
    return answers, refusal


cuts = st.lists(st.tuples(st.integers(1, 64), st.integers(0, 64)), max_size=12)


@many
@given(cuts)
async def test_any_cut_and_resend_gives_the_answers_of_an_unbroken_stream(
    script: list[tuple[int, int]],
) -> None:
    workshop = Workshop()
    lines = OpenLines(workshop)
    got: dict[int, Answer] = {}
    settled = 0
    for count, lost in script:
        answers, refusal = await answer(lines, range(settled, settled + count))
        assert refusal is None
        assert all(got.setdefault(each.id, each) == each for each in answers)
        settled += max(0, count - lost)
    unbroken, _ = await (await OpenLines(Recording).open(header())).answer(samples(range(len(got))))
    assert list(got.values()) == unbroken
    assert workshop.all_seen == list(range(len(got)))


async def test_each_agent_has_a_black_box_of_its_own() -> None:
    workshop = Workshop()
    lines = OpenLines(workshop)
    for agent, ids in [("a", [0, 1]), ("b", [0]), ("a", [1, 2]), ("c", [5]), ("b", [1, 2])]:
        answers, refusal = await answer(lines, ids, agent=agent)
        assert (ids_of(answers), refusal) == (ids, None)
    assert workshop.seen == [[0, 1, 2], [0, 1, 2], [5]]


async def test_a_forward_jump_is_counted_as_a_gap_within_a_stream_and_between_streams() -> None:
    lines = OpenLines(Recording)
    stream = await lines.open(header())
    await stream.answer(samples([0, 1, 5, 6]))
    assert stream.line.gaps == 3
    await answer(lines, [10, 11])
    assert stream.line.gaps == 6


async def test_an_unknown_session_that_joins_late_is_no_gap() -> None:
    lines = OpenLines(Recording)
    line = (await lines.open(header())).line
    for session, first_id in enumerate([0, 1, 1_000, MAX_ID]):
        answers, refusal = await answer(lines, [first_id], session)
        assert (ids_of(answers), refusal) == ([first_id], None)
    assert (line.gaps, line.duplicates) == (0, 0)


async def test_sessions_of_an_agent_share_one_black_box() -> None:
    workshop = Workshop()
    lines = OpenLines(workshop)
    await answer(lines, [0, 1], session=1)
    await answer(lines, [0, 1, 2], session=2)
    await answer(lines, [1, 2], session=1)
    assert workshop.seen == [[0, 1, 0, 1, 2, 2]]


@many
@given(id_runs, st.integers(0, 40))
async def test_a_stream_that_does_not_begin_with_its_first_id_is_refused(
    ids: list[int], first_id: int
) -> None:
    workshop = Workshop()
    lines = OpenLines(workshop)
    answers, refusal = await (await lines.open(header(first_id))).answer(samples(ids))
    if ids[0] == first_id:
        assert refusal is None
        return
    assert answers == []
    assert refusal.code is Code.INVALID_ARGUMENT
    assert refusal.sample_id == ids[0]
    assert f"expected {first_id}" in str(refusal)
    assert workshop.all_seen == []


@many
@given(id_runs, st.data())
async def test_an_id_that_does_not_rise_is_refused_and_the_line_goes_on_elsewhere(
    ids: list[int], data: st.DataObject
) -> None:
    workshop = Workshop()
    lines = OpenLines(workshop)
    low = data.draw(st.integers(0, ids[-1]))
    answers, refusal = await answer(lines, [*ids, low, ids[-1] + 1])
    assert ids_of(answers) == ids
    assert refusal.code is Code.INVALID_ARGUMENT
    assert refusal.sample_id == low
    assert f"expected an id above {ids[-1]}" in str(refusal)
    more, refusal = await answer(lines, [ids[-1], ids[-1] + 1])
    assert (ids_of(more), refusal) == ([ids[-1], ids[-1] + 1], None)
    assert workshop.seen == [[*ids, ids[-1] + 1]]


# Plain peers


@many
@given(st.lists(st.integers(-(2**31), MAX_ID) | st.integers(0, 3), max_size=30), st.data())
async def test_a_plain_stream_answers_everything_in_order(
    ids: list[int], data: st.DataObject
) -> None:
    workshop = Workshop()
    with await OpenLines(workshop).open(None) as stream:
        answers, refusal = await in_two(stream, ids, data)
    assert (ids_of(answers), refusal) == (ids, None)
    assert workshop.seen == ([ids] if ids else [])


async def test_each_plain_stream_is_a_line_of_its_own() -> None:
    workshop = Workshop()
    lines = OpenLines(workshop)
    with await lines.open(None) as one, await lines.open(None) as other:
        await one.answer(samples([0, 1]))
        await other.answer(samples([0]))
        await one.answer(samples([2]))
    assert workshop.seen == [[0, 1, 2], [0]]


async def test_a_plain_stream_goes_on_with_a_fresh_black_box_after_a_raise() -> None:
    workshop = Workshop(lambda: Raising({1}))
    stream = await OpenLines(workshop).open(None)
    answers, refusal = await stream.answer(samples([0, 1, 2]))
    assert ids_of(answers) == [0]
    assert refusal.code is Code.INTERNAL
    assert ids_of((await stream.answer(samples([2])))[0]) == [2]
    assert workshop.seen == [[0], [2]]


# Fairness


async def test_a_slow_black_box_lets_other_streams_in_between() -> None:
    lines = OpenLines(Recording, slice_s=-1.0)  # each answer takes longer than that
    drain, live = await lines.open(header()), await lines.open(header(agent="b"))
    ended: list[str] = []

    async def answer(name: str, stream: Stream, count: int) -> None:
        answers, _ = await send_on(stream, samples(range(count)))
        assert [each.id for each in answers] == [*range(count)]
        ended.append(name)

    with drain, live:
        await asyncio.gather(answer("drain", drain, 1000), answer("live", live, 1))
    assert ended == ["live", "drain"]
