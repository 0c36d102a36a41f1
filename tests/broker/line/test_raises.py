"""A predictor that raises, and what its line does then."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.store import OpenLines
from support.workshop import Raising, Recording, Workshop, answer, header, id_runs, ids_of, samples

from broker.model import Code, Sample

many = settings(derandomize=True, deadline=None, max_examples=80)


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
