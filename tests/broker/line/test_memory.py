"""What a line remembers of its sessions, and the bounds on it."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from support.store import OpenLines, send_on
from support.workshop import Recording, Workshop, answer, header, samples

from broker.model import Code
from broker.recorder import ANSWERS_AT_ONCE
from broker.recorder.memory import Memory, MemoryRecorder

many = settings(derandomize=True, deadline=None, max_examples=80)


def remembering(workshop: Workshop, **bounds: int) -> OpenLines:
    """Lines of which they and their recorder remember no more than this."""
    return OpenLines(workshop, MemoryRecorder(Memory(**bounds)), **bounds)


# What is remembered of a session


@many
@given(st.integers(1, 12), st.sets(st.integers(0, 60), min_size=1).map(sorted), st.data())
async def test_an_answer_is_known_or_expired_and_never_another_ones(
    remembered: int, ids: list[int], data: st.DataObject
) -> None:
    lines = OpenLines(Recording, MemoryRecorder(Memory(answers=remembered)))
    given_, _ = await answer(lines, ids)
    resent = data.draw(st.integers(0, ids[-1]))
    again, refusal = await answer(lines, [resent])
    if again:
        assert again == [given_[ids.index(resent)]]
    else:
        assert refusal.code is Code.OUT_OF_RANGE
        assert refusal.sample_id == resent
    if resent in ids and resent > ids[-1] - remembered:
        assert again


async def test_as_many_answers_are_remembered_as_an_agent_can_resend() -> None:
    assert ANSWERS_AT_ONCE >= 4096  # the most that an agent's link.window can be
    lines = OpenLines(Recording)
    count = ANSWERS_AT_ONCE + 100
    given_, _ = await answer(lines, range(count))
    answers, refusal = await answer(lines, range(100, count + 1))
    assert refusal is None
    assert answers[:-1] == given_[100:]
    answers, refusal = await answer(lines, [99])
    assert refusal.code is Code.OUT_OF_RANGE
    assert (answers, refusal.sample_id) == ([], 99)


@many
@given(st.integers(1, 5), st.lists(st.integers(0, 9), max_size=30))
async def test_the_sessions_used_last_are_remembered_and_no_more(
    bound: int, used: list[int]
) -> None:
    workshop = Workshop()
    lines = remembering(workshop, sessions=bound)
    known: list[int] = []
    for session in used:
        before = len(workshop.all_seen)
        await answer(lines, [7], session)
        assert len(workshop.all_seen) == before + (session not in known)
        known = [*(s for s in known if s != session), session][-bound:]


# The bounds on what is remembered


async def test_a_session_with_a_stream_is_never_forgotten() -> None:
    workshop = Workshop()
    lines = remembering(workshop, sessions=2)
    with await lines.open(header(session=99)) as live:
        first, _ = await live.answer(samples([0, 1]))
        for session in range(10):
            await answer(lines, [7], session)
        again, _ = await answer(lines, [0, 1], session=99)
        assert again == first
    for session in range(10):
        await answer(lines, [7], session)
    assert workshop.all_seen == [0, 1, *[7] * 20]
    await answer(lines, [1], session=99)
    assert workshop.all_seen[-1] == 1


async def is_known(lines: OpenLines, workshop: Workshop, agent: str) -> bool:
    """Whether the agent's line is still there; it is from now on."""
    before = len(workshop.made)
    await answer(lines, [0], agent=agent)
    return len(workshop.made) == before


async def are_known(lines: OpenLines, workshop: Workshop, agents: Sequence[str]) -> bool:
    """Whether the agents' lines are all still there."""
    return all([await is_known(lines, workshop, agent) for agent in agents])


async def test_past_the_bound_the_line_that_is_idle_longest_is_forgotten() -> None:
    workshop = Workshop()
    lines = remembering(workshop, lines=3)
    for agent in "abcad":
        await answer(lines, [0], agent=agent)
    assert len(workshop.made) == 4
    assert await are_known(lines, workshop, "cad")
    assert not await is_known(lines, workshop, "b")


async def test_rehearsals_have_a_bound_of_their_own_and_displace_no_agent() -> None:
    workshop = Workshop()
    lines = remembering(workshop, lines=3, rehearsals=2)
    for agent in "abc":
        await answer(lines, [0], agent=agent)
    for number in range(20):
        of = replace(header(agent=f"rehearsal{number}"), is_rehearsal=True)
        with await lines.open(of) as stream:
            await send_on(stream, samples([0]))
    assert await are_known(lines, workshop, ["a", "b", "c", "rehearsal19", "rehearsal18"])
    assert not await is_known(lines, workshop, "rehearsal17")


async def test_a_device_that_streams_where_a_rehearsal_did_is_displaced_by_none() -> None:
    workshop = Workshop()
    lines = remembering(workshop, rehearsals=2)
    with await lines.open(replace(header(agent="a"), is_rehearsal=True)) as stream:
        await send_on(stream, samples([0]))
    await answer(lines, [1], agent="a")
    for number in range(20):
        of = replace(header(agent=f"rehearsal{number}"), is_rehearsal=True)
        with await lines.open(of) as stream:
            await send_on(stream, samples([0]))
    assert await is_known(lines, workshop, "a")


async def test_a_live_line_is_never_forgotten() -> None:
    workshop = Workshop()
    lines = remembering(workshop, lines=3)
    with (
        await lines.open(header(agent="live")) as live,
        await lines.open(header(agent="also")) as also,
    ):
        first, _ = await live.answer(samples([0, 1]))
        await also.answer(samples([0]))
        for number in range(20):
            await answer(lines, [0], agent=f"idle{number}")
        again, _ = await answer(lines, [0, 1], agent="live")
        assert again == first
        assert await is_known(lines, workshop, "also")
    assert workshop.made[0].seen == [0, 1]


async def test_more_live_lines_than_the_bound_are_all_kept_until_they_are_idle() -> None:
    workshop = Workshop()
    lines = remembering(workshop, lines=3)
    names = [f"live{number}" for number in range(10)]
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(await lines.open(header(agent=name)))
            await answer(lines, [0], agent=name)
        assert await are_known(lines, workshop, names)
    await answer(lines, [0], agent="new")
    assert await are_known(lines, workshop, ["new", *names[-2:]])
    assert not await is_known(lines, workshop, names[0])


async def test_a_line_with_one_of_two_streams_closed_is_still_live() -> None:
    workshop = Workshop()
    lines = remembering(workshop, lines=3)
    with await lines.open(header(agent="a")):
        await answer(lines, [0], agent="a")
        for number in range(5):
            await answer(lines, [0], agent=f"idle{number}")
        assert await is_known(lines, workshop, "a")
    for number in range(5):
        await answer(lines, [0], agent=f"more{number}")
    assert not await is_known(lines, workshop, "a")
