"""A line is followed through damage and repairs, and let go no further than nobody can know."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
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


def repaired(
    losses: list[Loss], begins: Mapping[Key, bytes] | None = None, told_ns: Sequence[int] = ()
) -> Trail:
    """Of a line from which repairs have lost records, after they had been answered.

    Its black box had other states before some samples.
    """
    whole, state, recorded = kept(), b"", list[Recorded]()
    for each in whole.recorded:
        state = after((begins or {}).get(each.key, state), each.key.id, each.values)
        recorded.append(each._replace(prediction=says(state)))
    lost = {Key(loss.session_id or "", id_) for loss in losses for id_ in loss.ids}
    return replace(
        whole,
        recorded=[each for each in recorded if each.key not in lost],
        logged={
            each.key: [Logging(each.prediction, each.sampled_at_ns, each.arrived_at_ns)]
            for each in recorded
        },
        losses=losses,
        broker=[broker_entry(recorded, id_) for id_ in (FIRST, SECOND)],
        taken=[Taken(0, at_ns(SECOND, 39))],
        rebuilt_ns=list(told_ns),
    )


def is_followed(trail: Trail) -> bool:
    """Whether nothing is told, and nothing left unjudged."""
    verdict = judge_all(Evidence([trail], []))
    return not (verdict.accusations or verdict.unjudged)


def test_a_line_is_followed_where_two_repairs_lost_parts_of_one_range() -> None:
    first_ns, then_ns = at_ns(SECOND, 5), at_ns(SECOND, 10)
    losses = [Loss("a", FIRST, 30, 30, first_ns), Loss("a", FIRST, 31, 34, then_ns)]
    left = kept().recorded[:30] + kept().recorded[35:]
    # without snapshots, replayed after the second repair
    state = states(left)[COUNT - 5 + 11]
    assert is_followed(repaired(losses, {Key(SECOND, 11): state}, [then_ns + SECOND_NS // 2]))


def test_a_line_is_followed_over_what_a_backup_had_lacked_and_a_repair_has_lost_with_more() -> None:
    # 30 to 32 were answered before the restoring, from which on 33 and 34 were
    loss = Loss("a", FIRST, 30, 34, at_ns(SECOND, 5), "damaged; the agent left out 3 of them")
    trail = repaired([loss], {Key(FIRST, 33): STATES[30]})
    first = msgspec.structs.replace(trail.broker[0], answered=COUNT - 3, gaps=3)
    assert is_followed(replace(trail, broker=[first, trail.broker[1]]))


def test_a_line_is_followed_over_a_session_of_which_nothing_is_left() -> None:
    assert is_followed(repaired([Loss("a", FIRST, 0, COUNT - 1, at_ns(SECOND, 39))]))


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
