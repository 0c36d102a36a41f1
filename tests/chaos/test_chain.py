"""A line is followed through damage and repairs, and let go no further than nobody can know."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from chaos.evidence import Evidence, Trail
from chaos.ledgers import Loss
from chaos.predictors import after, says
from chaos.records import Key, Logging, Recorded, Taken
from chaos.trails import COUNT, FIRST, SECOND, SECOND_NS, at_ns, broker_entry, judge, kept
from chaos.verdict import judge as judge_all

NOBODYS = b"of no sample that ever was"

WRONG = "a black box that saw all"


def states(recorded: Sequence[Recorded]) -> list[bytes]:
    """The state before each sample, and after the last, of a black box that saw them all."""
    states_ = itertools.accumulate(
        recorded, lambda state, each: after(state, each.key.id, each.values), initial=b""
    )
    return list(states_)


def begun_again(
    begins: Mapping[int, bytes], told_ns: Sequence[int] = (), restored_ns: Sequence[int] = ()
) -> Trail:
    """Of a line whose black box had other states before some of its samples."""
    trail, state, recorded = kept(), b"", list[Recorded]()
    for at, each in enumerate(trail.recorded):
        state = after(begins.get(at, state), each.key.id, each.values)
        recorded.append(each._replace(prediction=says(state)))
    return replace(
        trail,
        recorded=recorded,
        logged={
            each.key: [Logging(each.prediction, each.sampled_at_ns, each.arrived_at_ns)]
            for each in recorded
        },
        rebuilt_ns=list(told_ns),
        restored_ns=list(restored_ns),
    )


def before_ns(at: int) -> int:
    """A time between a sample of the line and the one before."""
    return at_ns(FIRST, at) - SECOND_NS // 2


STATES = states(kept().recorded)


@pytest.mark.parametrize("state_of", [0, 20, 49])
def test_a_line_may_begin_again_from_a_former_state_where_damage_was_told(state_of: int) -> None:
    assert judge(begun_again({50: STATES[state_of]}, told_ns=[before_ns(50)])) == []


@pytest.mark.parametrize(
    "told_ns",
    [
        [],
        [at_ns(SECOND, 20)],  # after the answers had changed
        [at_ns(FIRST, 1)],  # long before
    ],
)
def test_a_silent_change_of_answers_is_told(told_ns: list[int]) -> None:
    trail = begun_again({50: STATES[20]}, told_ns)
    assert any(WRONG in failure for failure in judge(trail))


def test_a_line_is_followed_where_two_repairs_lost_parts_of_one_range() -> None:
    at = {30: at_ns(SECOND, 5), 31: at_ns(SECOND, 10)}  # 30 got lost first, the others then
    lost = [Key(FIRST, id_) for id_ in range(30, 35)]
    whole = kept()
    recorded = [each for each in whole.recorded if each.key not in lost]
    begin = next(n for n, each in enumerate(recorded) if each.arrived_at_ns > at[31])
    state = states(recorded)[begin]  # of a black box without snapshot, replayed after the second
    answers = {
        each.key: says(after_) for each, after_ in zip(whole.recorded, STATES[1:], strict=True)
    }
    for number, each in enumerate(recorded):
        if number >= begin:
            state = after(state, each.key.id, each.values)
            answers[each.key] = says(state)
        recorded[number] = each._replace(prediction=answers[each.key])
    trail = replace(
        whole,
        recorded=recorded,
        logged={
            each.key: [Logging(answers[each.key], each.sampled_at_ns, each.arrived_at_ns)]
            for each in whole.recorded
        },
        losses=[Loss("a", FIRST, 30, 30, at[30]), Loss("a", FIRST, 31, 34, at[31])],
        broker=[broker_entry(whole.recorded, id_) for id_ in (FIRST, SECOND)],
        taken=[Taken(0, at_ns(SECOND, 39))],
        rebuilt_ns=[at[31] + SECOND_NS // 2],
    )
    verdict = judge_all(Evidence([trail], []))
    assert verdict.accusations == []
    assert verdict.unjudged == 0


def taken_up(begins: Mapping[int, bytes] | None = None) -> Trail:
    """Of a line that nobody can follow from its third sample on, and again from the 17th."""
    return begun_again(
        {2: NOBODYS, 16: STATES[16], **(begins or {})}, [before_ns(2)], [before_ns(16)]
    )


def test_a_line_is_taken_up_again_where_it_was_rebuilt_from_its_records() -> None:
    verdict = judge_all(Evidence([taken_up()], []))
    assert verdict.accusations == []
    assert 0 < verdict.unjudged <= 14


def test_a_silent_change_is_told_where_a_line_was_taken_up_again() -> None:
    assert any(WRONG in failure for failure in judge(taken_up({60: STATES[20]})))


@pytest.mark.parametrize(("at", "accused"), [(2 * COUNT - 15, False), (30, True)])
def test_no_more_than_a_quarter_of_a_line_may_stay_unjudged(at: int, accused: bool) -> None:
    verdict = judge_all(Evidence([begun_again({at: NOBODYS}, [before_ns(at)])], []))
    assert verdict.unjudged
    assert any("nobody can judge" in each for each in verdict.accusations) == accused


def test_what_nobody_can_follow_is_told_where_no_damage_was() -> None:
    assert any(WRONG in failure for failure in judge(begun_again({50: NOBODYS})))
