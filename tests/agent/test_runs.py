from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.spool import runs
from agent.spool.runs import Runs

many = settings(derandomize=True, deadline=None, max_examples=300)
ids = st.sets(st.integers(0, 30))


def of(some: set[int]) -> Runs:
    return runs.gather(sorted(some))


def members(some: Runs) -> set[int]:
    return {id_ for first, last in some for id_ in range(first, last + 1)}


@many
@given(ids)
def test_runs_hold_what_was_gathered_and_lie_apart(some: set[int]) -> None:
    gathered = of(some)
    assert members(gathered) == some
    assert runs.size(gathered) == len(some)
    assert all(first <= last for first, last in gathered)
    assert all(a[1] + 1 < b[0] for a, b in pairwise(gathered))


@many
@given(ids, ids, ids)
def test_union_common_and_minus_are_those_of_sets(a: set[int], b: set[int], c: set[int]) -> None:
    assert runs.union(of(a), of(b), of(c)) == of(a | b | c)
    assert runs.common(of(a), of(b)) == of(a & b)
    assert runs.minus(of(a), of(b)) == of(a - b)


def test_a_person_is_shown_the_first_runs_and_how_many_more() -> None:
    assert runs.shown([]) == ""
    assert runs.shown([(0, 99), (105, 105)]) == "0..99, 105"
    assert runs.shown(of(set(range(0, 24, 2)))) == "0, 2, 4, 6, 8, 10, 12, 14 and 4 runs more"
