"""Columns of text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.columns import aligned, named

many = settings(derandomize=True, deadline=None)

cells = st.text("abc0123", min_size=1, max_size=12)
tables = st.integers(1, 5).flatmap(
    lambda columns: st.lists(st.lists(cells, min_size=columns, max_size=columns), min_size=1)
)


def test_names_are_at_the_left_and_numbers_at_the_right() -> None:
    rows = [("agent", "id", "answered"), ("press-1", "7", "12"), ("p", "", "3")]
    assert aligned(rows, names=1) == [
        "agent    id  answered",
        "press-1   7        12",
        "p                   3",
    ]


def test_no_line_ends_with_spaces() -> None:
    assert aligned([("a", "long"), ("b", "x")], names=2) == ["a  long", "b  x"]


@many
@given(tables, st.integers(0, 5))
def test_each_cell_is_there_and_columns_begin_or_end_below_each_other(
    rows: list[list[str]], names: int
) -> None:
    lines = aligned(rows, names=names)
    assert [line.split() for line in lines] == rows
    if names < len(rows[0]):
        assert len({len(line) for line in lines}) == 1


def test_no_rows_are_no_lines() -> None:
    assert aligned([]) == []
    assert named([]) == []


def test_a_row_with_another_number_of_cells_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="zip"):
        aligned([("a", "b"), ("a",)])


def test_values_are_below_each_other_also_where_a_name_is_long() -> None:
    assert named([("samples", "982"), ("lost", "1")]) == [
        "samples           982",
        "lost              1",
    ]
    assert named([("x" * 20, "1"), ("lost", "2")]) == ["x" * 20 + "  1", "lost" + " " * 18 + "2"]


def test_wide_characters_and_marks_are_counted_as_a_terminal_shows_them() -> None:
    assert aligned([["温度", "1"], ["cafe\u0301", "22"]], names=1) == ["温度   1", "cafe\u0301  22"]
    short, long = named([("高さ", "1"), ("h" * 16, "2")])
    assert (short, long) == ("高さ" + " " * 14 + "1", "h" * 16 + "  2")
