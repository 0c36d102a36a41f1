import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.evaluate.judgement import Fault, Judgement, judge, total

FLAGS = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60)


def judged(answers: str, truth: str, times_ns: list[int] | None = None) -> Judgement:
    return judge([*map(int, answers)], [*map(int, truth)], times_ns)


def test_rows_are_counted_one_by_one_and_a_fault_that_was_found_once_stays_mostly_missed() -> None:
    told = judged("0000010000", "0000111100")
    assert (told.true_positives, told.false_positives) == (1, 0)
    assert (told.false_negatives, told.true_negatives) == (3, 6)
    assert told.precision == 1
    assert told.recall == 0.25
    assert told.f1 == 0.4
    assert told.false_alarm_rate == 0


def test_each_fault_has_its_delay_and_a_missed_one_none() -> None:
    times = [row * 10**9 for row in range(12)]
    told = judged("001001100000", "011000110011", times)
    assert told.faults == (Fault(1, 3, 1, 10**9), Fault(6, 8, 0, 0), Fault(10, 12, None))
    assert told.found == 2
    assert told.median_delay_rows == 0.5


def test_a_false_alarm_is_a_run_that_touches_no_fault() -> None:
    told = judged("110011100001", "000000110000", [row * 3600 * 10**9 for row in range(12)])
    assert told.false_alarms == 2
    assert told.span_ns == 11 * 3600 * 10**9
    assert told.false_alarms_a_day == pytest.approx(2 * 24 / 11)


def test_what_cannot_be_said_is_not_said() -> None:
    healthy = judged("000", "000")
    assert (healthy.precision, healthy.recall, healthy.f1) == (None, None, None)
    assert healthy.false_alarms_a_day is None
    assert judged("", "").false_alarm_rate is None


@given(st.lists(FLAGS, max_size=4))
def test_several_recordings_are_counted_as_one(recordings: list[list[tuple[bool, bool]]]) -> None:
    judgements = [judge([a for a, _ in each], [t for _, t in each]) for each in recordings]
    told = total(judgements)
    rows = [row for each in recordings for row in each]
    assert told.true_positives == sum(answer and fault for answer, fault in rows)
    assert told.false_positives == sum(answer and not fault for answer, fault in rows)
    assert told.false_negatives == sum(fault and not answer for answer, fault in rows)
    assert told.true_negatives == sum(not (fault or answer) for answer, fault in rows)
    assert told.found == sum(each.found for each in judgements)
    assert told.false_alarms == sum(each.false_alarms for each in judgements)


@given(FLAGS)
def test_each_faulty_row_is_in_one_fault_and_its_delay_points_at_the_first_true(
    rows: list[tuple[bool, bool]],
) -> None:
    answers, truth = [a for a, _ in rows], [t for _, t in rows]
    told = judge(answers, truth)
    assert [row for fault in told.faults for row in range(fault.first, fault.end)] == [
        row for row, fault in enumerate(truth) if fault
    ]
    for fault in told.faults:
        if fault.delay_rows is None:
            assert not any(answers[fault.first : fault.end])
        else:
            assert answers[fault.first + fault.delay_rows]
            assert not any(answers[fault.first : fault.first + fault.delay_rows])
