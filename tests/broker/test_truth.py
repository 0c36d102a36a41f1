from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.evaluate.truth import Faults, Interval, is_fault, read_intervals
from quartet.errors import TableError
from quartet.recording import Row


@pytest.mark.parametrize(
    ("label", "fault"),
    [
        *(("0", False), ("1", True), ("0.0", False), ("-2", True), (" True ", True)),
        *(("false", False), ("", False), ("inf", True)),
    ],
)
def test_a_label_is_a_fault_if_it_is_true_or_not_zero(label: str, fault: bool) -> None:
    assert is_fault(label) is fault


@pytest.mark.parametrize("label", ["normal", "nan", "1,5"])
def test_a_label_that_says_neither_is_refused(label: str) -> None:
    with pytest.raises(ValueError, match=f"label '{label}' is neither a number nor true or false"):
        is_fault(label)


def row(at_ns: int | None) -> Row:
    return Row(1, at_ns, (0.0, 0.0, 0.0, 0.0), ())


def test_intervals_are_rows_or_times_and_hold_both_ends(tmp_path: Path) -> None:
    path = tmp_path / "faults.csv"
    path.write_text("from,to\n3,4\n\n1970-01-01 00:00:10, 1970-01-01T01:00:11.5+01:00\n900,901\n")
    faults = Faults(read_intervals(path))
    assert [number for number in range(8) if faults.hold(number, row(0))] == [3, 4]
    assert faults.unmet() == 2
    second = 10**9
    assert [s for s in range(20) if faults.hold(0, row(s * second))] == [10, 11]
    assert faults.unmet() == 1
    assert not faults.hold(0, row(11 * second + second // 2 + 1))
    with pytest.raises(ValueError, match="no time"):
        faults.hold(5, row(None))
    assert Faults([]).hold(0, row(None)) is False


RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=8)


@given(RANGES)
def test_a_row_is_faulty_if_any_of_many_intervals_holds_it(ranges: list[tuple[int, int]]) -> None:
    faults = Faults(Interval(first, first + more, is_time=False) for first, more in ranges)
    for number in range(90):
        wanted = any(first <= number <= first + more for first, more in ranges)
        assert faults.hold(number, row(None)) is wanted
    assert faults.unmet() == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n", "line 1: expected FROM,TO"),
        ("1,2,3\n", "line 1: expected FROM,TO"),
        ("1,2\n5,4\n", "line 2: 5 is after 4"),
        ("from,to\n1,soon\n", "line 2: 1 is neither a row nor a time"),
        ("1,1\n" * 10_001, "more than 10000 lines"),
        (b"\xff1,2\n", "not UTF-8"),
        (None, "cannot be read: No such file"),
    ],
)
def test_what_is_no_list_of_intervals_is_refused_with_its_line(
    text: str | bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "faults.csv"
    if text is not None:
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(TableError, match=message):
        read_intervals(path)
