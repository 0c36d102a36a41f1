import contextlib
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import ExpiredError, OutOfOrderError, RaisedError, RefusalError
from broker.line import REMEMBERED_ANSWERS, Line, Lines, Stream
from broker.model import Answer, Sample
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


def answer(
    lines: Lines, ids: Sequence[int], session: int = 0, agent: str = "a"
) -> tuple[list[Answer], RefusalError | None]:
    """Open a stream, send the ids at once, and close it."""
    with lines.open(header(ids[0], session, agent)) as stream:
        return stream.answer(samples(ids))


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
@given(st.lists(streams, max_size=8), st.data())
def test_new_ids_go_to_the_black_box_once_in_order_and_resent_ones_get_the_recorded_answer(
    script: list[tuple[int, list[int]]], data: st.DataObject
) -> None:
    workshop = Workshop()
    line = Line(workshop)
    seen: list[int] = []
    duplicates = gaps = 0
    sessions: dict[int, Model] = {}
    for session, ids in script:
        model = sessions.setdefault(session, Model())
        answers, refusal = in_two(Stream(line, header(ids[0], session)), ids, data)
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
            assert isinstance(refusal, ExpiredError)
            assert refusal.sample_id == ids[len(expected)]
    assert workshop.seen == ([seen] if seen else [])
    assert (line.duplicates, line.gaps) == (duplicates, gaps)
    assert line.received == len(seen) + duplicates


def in_two(
    stream: Stream, ids: Sequence[int], data: st.DataObject
) -> tuple[list[Answer], RefusalError | None]:
    """Send the ids in two batches, the second unless the first is refused."""
    split = data.draw(st.integers(0, len(ids)))
    answers, refusal = stream.answer(samples(ids[:split]))
    if refusal is None:
        more, refusal = stream.answer(samples(ids[split:]))
        answers += more
    return answers, refusal


cuts = st.lists(st.tuples(st.integers(1, 64), st.integers(0, 64)), max_size=12)


@many
@given(cuts)
def test_any_cut_and_resend_gives_the_answers_of_an_unbroken_stream(
    script: list[tuple[int, int]],
) -> None:
    workshop = Workshop()
    lines = Lines(workshop)
    got: dict[int, Answer] = {}
    settled = 0
    for count, lost in script:
        answers, refusal = answer(lines, range(settled, settled + count))
        assert refusal is None
        assert all(got.setdefault(each.id, each) == each for each in answers)
        settled += max(0, count - lost)
    unbroken, _ = Lines(Recording).open(header()).answer(samples(range(len(got))))
    assert list(got.values()) == unbroken
    assert workshop.all_seen == list(range(len(got)))


def test_each_agent_has_a_black_box_of_its_own() -> None:
    workshop = Workshop()
    lines = Lines(workshop)
    for agent, ids in [("a", [0, 1]), ("b", [0]), ("a", [1, 2]), ("c", [5]), ("b", [1, 2])]:
        answers, refusal = answer(lines, ids, agent=agent)
        assert (ids_of(answers), refusal) == (ids, None)
    assert workshop.seen == [[0, 1, 2], [0, 1, 2], [5]]


def test_a_forward_jump_is_counted_as_a_gap_within_a_stream_and_between_streams() -> None:
    line = Line(Recording)
    Stream(line, header()).answer(samples([0, 1, 5, 6]))
    assert line.gaps == 3
    Stream(line, header(10)).answer(samples([10, 11]))
    assert line.gaps == 6


def test_an_unknown_session_that_joins_late_is_no_gap() -> None:
    line = Line(Recording)
    for session, first_id in enumerate([0, 1, 1_000, MAX_ID]):
        answers, refusal = Stream(line, header(first_id, session)).answer(samples([first_id]))
        assert (ids_of(answers), refusal) == ([first_id], None)
    assert (line.gaps, line.duplicates) == (0, 0)


def test_sessions_of_an_agent_share_one_black_box() -> None:
    workshop = Workshop()
    lines = Lines(workshop)
    answer(lines, [0, 1], session=1)
    answer(lines, [0, 1, 2], session=2)
    answer(lines, [1, 2], session=1)
    assert workshop.seen == [[0, 1, 0, 1, 2, 2]]


@many
@given(id_runs, st.integers(0, 40))
def test_a_stream_that_does_not_begin_with_its_first_id_is_refused(
    ids: list[int], first_id: int
) -> None:
    workshop = Workshop()
    lines = Lines(workshop)
    answers, refusal = lines.open(header(first_id)).answer(samples(ids))
    if ids[0] == first_id:
        assert refusal is None
        return
    assert answers == []
    assert isinstance(refusal, OutOfOrderError)
    assert refusal.sample_id == ids[0]
    assert f"expected {first_id}" in str(refusal)
    assert workshop.all_seen == []


@many
@given(id_runs, st.data())
def test_an_id_that_does_not_rise_is_refused_and_the_line_goes_on_elsewhere(
    ids: list[int], data: st.DataObject
) -> None:
    workshop = Workshop()
    lines = Lines(workshop)
    low = data.draw(st.integers(0, ids[-1]))
    answers, refusal = answer(lines, [*ids, low, ids[-1] + 1])
    assert ids_of(answers) == ids
    assert isinstance(refusal, OutOfOrderError)
    assert refusal.sample_id == low
    assert f"expected an id above {ids[-1]}" in str(refusal)
    more, refusal = answer(lines, [ids[-1], ids[-1] + 1])
    assert (ids_of(more), refusal) == ([ids[-1], ids[-1] + 1], None)
    assert workshop.seen == [[*ids, ids[-1] + 1]]


# What is remembered of a session


@many
@given(st.integers(1, 12), st.sets(st.integers(0, 60), min_size=1).map(sorted), st.data())
def test_an_answer_is_known_or_expired_and_never_another_ones(
    remembered: int, ids: list[int], data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("broker.line.REMEMBERED_ANSWERS", remembered)
        lines = Lines(Recording)
        given_, _ = answer(lines, ids)
        resent = data.draw(st.integers(0, ids[-1]))
        again, refusal = answer(lines, [resent])
    if again:
        assert again == [given_[ids.index(resent)]]
    else:
        assert isinstance(refusal, ExpiredError)
        assert refusal.sample_id == resent
    if resent in ids and resent > ids[-1] - remembered:
        assert again


def test_as_many_answers_are_remembered_as_an_agent_can_resend() -> None:
    assert REMEMBERED_ANSWERS >= 4096  # the most that an agent's link.window can be
    lines = Lines(Recording)
    count = REMEMBERED_ANSWERS + 100
    given_, _ = answer(lines, range(count))
    answers, refusal = answer(lines, range(100, count + 1))
    assert refusal is None
    assert answers[:-1] == given_[100:]
    answers, refusal = answer(lines, [99])
    assert isinstance(refusal, ExpiredError)
    assert (answers, refusal.sample_id) == ([], 99)


@many
@given(st.integers(1, 5), st.lists(st.integers(0, 9), max_size=30))
def test_the_sessions_used_last_are_remembered_and_no_more(bound: int, used: list[int]) -> None:
    workshop = Workshop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("broker.line._REMEMBERED_SESSIONS", bound)
        lines = Lines(workshop)
        known: list[int] = []
        for session in used:
            before = len(workshop.all_seen)
            answer(lines, [7], session)
            assert len(workshop.all_seen) == before + (session not in known)
            known = [*(s for s in known if s != session), session][-bound:]


# A black box that raises


@many
@given(st.sets(st.integers(0, 20)), id_runs)
def test_a_raise_refuses_its_sample_and_the_next_black_box_is_a_fresh_one(
    bad_ids: set[int], ids: list[int]
) -> None:
    workshop = Workshop(lambda: Raising(bad_ids))
    lines = Lines(workshop)
    expected: list[list[int]] = []
    rest = ids
    while rest:
        answers, refusal = answer(lines, rest)
        good = list(itertools.takewhile(lambda id_: id_ not in bad_ids, rest))
        assert ids_of(answers) == good
        expected.append(good)
        if good == rest:
            assert refusal is None
            break
        assert isinstance(refusal, RaisedError)
        assert refusal.sample_id == rest[len(good)]
        assert "ArithmeticError: no logarithm of" in str(refusal)
        rest = rest[len(good) + 1 :]
    assert workshop.seen == expected


def test_a_gap_before_a_sample_that_raises_is_counted_when_it_is_passed() -> None:
    line = Line(lambda: Raising({5}))
    for ids in ([0, 1], [5], [5], [5]):
        Stream(line, header(ids[0])).answer(samples(ids))
    assert line.gaps == 0
    Stream(line, header(6)).answer(samples([6]))
    assert line.gaps == 4


def test_a_black_box_that_cannot_be_made_again_refuses_until_it_can() -> None:
    makes = iter([None, OSError("model.bin is gone"), OSError("model.bin is gone"), None])

    def make() -> Recording:
        if error := next(makes):
            raise error
        return Raising({1})

    lines = Lines(make)
    answers, refusal = answer(lines, [0, 1])
    assert isinstance(refusal, RaisedError)
    for _ in range(2):
        _, refusal = answer(lines, [2])
        assert isinstance(refusal, RaisedError)
        assert refusal.sample_id == 2
        assert "OSError: model.bin is gone" in str(refusal)
    answers, refusal = answer(lines, [2])
    assert (ids_of(answers), refusal) == ([2], None)


def test_a_refused_sample_is_computed_anew_when_it_is_resent() -> None:
    bad_ids = {2}
    workshop = Workshop(lambda: Raising(bad_ids))
    lines = Lines(workshop)
    _, refusal = answer(lines, [0, 1, 2, 3])
    assert isinstance(refusal, RaisedError)
    bad_ids.clear()
    answers, refusal = answer(lines, [1, 2, 3])
    assert (ids_of(answers), refusal) == ([1, 2, 3], None)
    assert workshop.seen == [[0, 1], [2, 3]]


def test_other_lines_do_not_notice_a_raise() -> None:
    workshop = Workshop(lambda: Raising({1}))
    lines = Lines(workshop)
    with lines.open(header(agent="good")) as good, lines.open(header(agent="bad")) as bad:
        good.answer(samples([0]))
        _, refusal = bad.answer(samples([0, 1]))
        assert isinstance(refusal, RaisedError)
        answers, refusal = good.answer(samples([2, 3]))
    assert (ids_of(answers), refusal) == ([2, 3], None)
    assert workshop.made[0].seen == [0, 2, 3]


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError(7), AssertionError(), RecursionError()]
)
def test_any_exception_of_a_black_box_is_a_refusal_with_its_kind(error: Exception) -> None:
    class Box:
        def predict(self, _: Sample) -> bool:
            raise error

    for first_header in (header(3), None):
        answers, refusal = Lines(Box).open(first_header).answer(samples([3]))
        assert answers == []
        assert isinstance(refusal, RaisedError)
        assert refusal.sample_id == 3
        assert type(error).__name__ in str(refusal)
        assert refusal.__cause__ is error


# Plain peers


@many
@given(st.lists(st.integers(-(2**31), MAX_ID) | st.integers(0, 3), max_size=30), st.data())
def test_a_plain_stream_answers_everything_in_order(ids: list[int], data: st.DataObject) -> None:
    workshop = Workshop()
    with Lines(workshop).open(None) as stream:
        answers, refusal = in_two(stream, ids, data)
    assert (ids_of(answers), refusal) == (ids, None)
    assert workshop.seen == ([ids] if ids else [])


def test_each_plain_stream_is_a_line_of_its_own() -> None:
    workshop = Workshop()
    lines = Lines(workshop)
    with lines.open(None) as one, lines.open(None) as other:
        one.answer(samples([0, 1]))
        other.answer(samples([0]))
        one.answer(samples([2]))
    assert workshop.seen == [[0, 1, 2], [0]]


def test_a_plain_stream_goes_on_with_a_fresh_black_box_after_a_raise() -> None:
    workshop = Workshop(lambda: Raising({1}))
    stream = Lines(workshop).open(None)
    answers, refusal = stream.answer(samples([0, 1, 2]))
    assert ids_of(answers) == [0]
    assert isinstance(refusal, RaisedError)
    assert ids_of(stream.answer(samples([2]))[0]) == [2]
    assert workshop.seen == [[0], [2]]


# The bounds on what is remembered


def test_a_session_with_a_stream_is_never_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.line._REMEMBERED_SESSIONS", 2)
    workshop = Workshop()
    lines = Lines(workshop)
    with lines.open(header(session=99)) as live:
        first, _ = live.answer(samples([0, 1]))
        for session in range(10):
            answer(lines, [7], session)
        again, _ = answer(lines, [0, 1], session=99)
        assert again == first
    for session in range(10):
        answer(lines, [7], session)
    assert workshop.all_seen == [0, 1, *[7] * 20]
    answer(lines, [1], session=99)
    assert workshop.all_seen[-1] == 1


def is_known(lines: Lines, workshop: Workshop, agent: str) -> bool:
    """Whether the agent's line is still there; it is from now on."""
    before = len(workshop.made)
    answer(lines, [0], agent=agent)
    return len(workshop.made) == before


@pytest.fixture
def three_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.line._MOST_LINES", 3)


@pytest.mark.usefixtures("three_lines")
def test_past_the_bound_the_line_that_is_idle_longest_is_forgotten() -> None:
    workshop = Workshop()
    lines = Lines(workshop)
    for agent in "abcad":
        answer(lines, [0], agent=agent)
    assert len(workshop.made) == 4
    assert all(is_known(lines, workshop, agent) for agent in "cad")
    assert not is_known(lines, workshop, "b")


@pytest.mark.usefixtures("three_lines")
def test_a_live_line_is_never_forgotten() -> None:
    workshop = Workshop()
    lines = Lines(workshop)
    with lines.open(header(agent="live")) as live, lines.open(header(agent="also")) as also:
        first, _ = live.answer(samples([0, 1]))
        also.answer(samples([0]))
        for number in range(20):
            answer(lines, [0], agent=f"idle{number}")
        again, _ = answer(lines, [0, 1], agent="live")
        assert again == first
        assert is_known(lines, workshop, "also")
    assert workshop.made[0].seen == [0, 1]


@pytest.mark.usefixtures("three_lines")
def test_more_live_lines_than_the_bound_are_all_kept_until_they_are_idle() -> None:
    workshop = Workshop()
    lines = Lines(workshop)
    names = [f"live{number}" for number in range(10)]
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(lines.open(header(agent=name)))
            answer(lines, [0], agent=name)
        assert all(is_known(lines, workshop, name) for name in names)
    answer(lines, [0], agent="new")
    assert all(is_known(lines, workshop, name) for name in ("new", *names[-2:]))
    assert not is_known(lines, workshop, names[0])


@pytest.mark.usefixtures("three_lines")
def test_a_line_with_one_of_two_streams_closed_is_still_live() -> None:
    workshop = Workshop()
    lines = Lines(workshop)
    with lines.open(header(agent="a")):
        answer(lines, [0], agent="a")
        for number in range(5):
            answer(lines, [0], agent=f"idle{number}")
        assert is_known(lines, workshop, "a")
    for number in range(5):
        answer(lines, [0], agent=f"more{number}")
    assert not is_known(lines, workshop, "a")
