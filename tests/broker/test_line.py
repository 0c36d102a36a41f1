import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.store import LONG_S, OpenLines, send_on

from broker.model import Answer, Code, Refusal, Sample
from broker.recorder import ANSWERS_AT_ONCE
from broker.recorder.memory import Memory, MemoryRecorder
from broker.stream import Stream
from wire import MAX_ID
from wire.metadata import StreamHeader

many = settings(derandomize=True, deadline=None, max_examples=80)


class Recording:
    """A black box with state: its answers depend on how many samples it has seen."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def predict(self, sample: Sample) -> bool:
        self.seen.append(sample.id)
        return hash((sample.id, len(self.seen))) % 3 == 0


class Raising(Recording):
    """Raises on the ids that a test names."""

    def __init__(self, bad_ids: set[int]) -> None:
        super().__init__()
        self._bad_ids = bad_ids

    def predict(self, sample: Sample) -> bool:
        if sample.id in self._bad_ids:
            raise ArithmeticError(f"no logarithm of {sample.id}")
        return super().predict(sample)


class Workshop:
    """Makes black boxes, and keeps them in order."""

    def __init__(self, make: Callable[[], Recording] = Recording) -> None:
        self._make = make
        self.made: list[Recording] = []

    def __call__(self) -> Recording:
        self.made.append(self._make())
        return self.made[-1]

    @property
    def seen(self) -> list[list[int]]:
        """What each black box was given."""
        return [box.seen for box in self.made]

    @property
    def all_seen(self) -> list[int]:
        return [id_ for seen in self.seen for id_ in seen]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A black box that raises is logged with its traceback: thousands of them here."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def header(first_id: int = 0, session: int = 0, agent: str = "a") -> StreamHeader:
    return StreamHeader(agent, f"{session:032x}", first_id, 0, 0)


def samples(ids: Sequence[int]) -> list[Sample]:
    return [Sample(id_, (0.0, 0.0, 0.0, 0.0)) for id_ in ids]


async def answer(
    lines: OpenLines, ids: Sequence[int], session: int = 0, agent: str = "a"
) -> tuple[list[Answer], Refusal | None]:
    """Open a stream, send the ids at once, and close it."""
    with await lines.open(header(ids[0], session, agent)) as stream:
        return await send_on(stream, samples(ids))


def remembering(workshop: Workshop, **bounds: int) -> OpenLines:
    """Lines of which they and their recorder remember no more than this."""
    return OpenLines(workshop, MemoryRecorder(Memory(**bounds)), **bounds)


def ids_of(answers: Sequence[Answer]) -> list[int]:
    return [each.id for each in answers]


# Streams of an agent

id_runs = st.sets(st.integers(0, 40), min_size=1, max_size=15).map(sorted)
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


# A black box that raises


@many
@given(st.sets(st.integers(0, 20)), id_runs)
async def test_a_raise_refuses_its_sample_and_the_next_black_box_is_a_fresh_one(
    bad_ids: set[int], ids: list[int]
) -> None:
    workshop = Workshop(lambda: Raising(bad_ids))
    lines = OpenLines(workshop)
    expected: list[list[int]] = []
    rest = ids
    while rest:
        answers, refusal = await answer(lines, rest)
        good = list(itertools.takewhile(lambda id_: id_ not in bad_ids, rest))
        assert ids_of(answers) == good
        expected.append(good)
        if good == rest:
            assert refusal is None
            break
        assert refusal.code is Code.INTERNAL
        assert refusal.sample_id == rest[len(good)]
        assert "ArithmeticError: no logarithm of" in str(refusal)
        rest = rest[len(good) + 1 :]
    assert workshop.seen == expected


async def test_a_gap_before_a_sample_that_raises_is_counted_when_it_is_passed() -> None:
    lines = OpenLines(lambda: Raising({5}))
    line = (await lines.open(header())).line
    for ids in ([0, 1], [5], [5], [5]):
        await answer(lines, ids)
    assert line.gaps == 0
    await answer(lines, [6])
    assert line.gaps == 4


async def test_a_black_box_that_cannot_be_made_again_refuses_until_it_can() -> None:
    makes = iter([None, OSError("model.bin is gone"), OSError("model.bin is gone"), None])

    def make() -> Recording:
        if error := next(makes):
            raise error
        return Raising({1})

    lines = OpenLines(make)
    answers, refusal = await answer(lines, [0, 1])
    assert refusal.code is Code.INTERNAL
    for _ in range(2):
        _, refusal = await answer(lines, [2])
        assert refusal.code is Code.INTERNAL
        assert refusal.sample_id == 2
        assert "OSError: model.bin is gone" in str(refusal)
    answers, refusal = await answer(lines, [2])
    assert (ids_of(answers), refusal) == ([2], None)


async def test_a_refused_sample_is_computed_anew_when_it_is_resent() -> None:
    bad_ids = {2}
    workshop = Workshop(lambda: Raising(bad_ids))
    lines = OpenLines(workshop)
    _, refusal = await answer(lines, [0, 1, 2, 3])
    assert refusal.code is Code.INTERNAL
    bad_ids.clear()
    answers, refusal = await answer(lines, [1, 2, 3])
    assert (ids_of(answers), refusal) == ([1, 2, 3], None)
    assert workshop.seen == [[0, 1], [2, 3]]


async def test_other_lines_do_not_notice_a_raise() -> None:
    workshop = Workshop(lambda: Raising({1}))
    lines = OpenLines(workshop)
    with (
        await lines.open(header(agent="good")) as good,
        await lines.open(header(agent="bad")) as bad,
    ):
        await good.answer(samples([0]))
        _, refusal = await bad.answer(samples([0, 1]))
        assert refusal.code is Code.INTERNAL
        answers, refusal = await good.answer(samples([2, 3]))
    assert (ids_of(answers), refusal) == ([2, 3], None)
    assert workshop.made[0].seen == [0, 2, 3]


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError(7), AssertionError(), RecursionError()]
)
async def test_any_exception_of_a_black_box_is_a_refusal_with_its_kind(error: Exception) -> None:
    class Box:
        def predict(self, _: Sample) -> bool:
            raise error

    for first_header in (header(3), None):
        answers, refusal = await (await OpenLines(Box).open(first_header)).answer(samples([3]))
        assert answers == []
        assert refusal.code is Code.INTERNAL
        assert refusal.sample_id == 3
        assert type(error).__name__ in str(refusal)
        assert refusal.cause is error


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
