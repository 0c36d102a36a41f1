import pytest

from broker.elapsed import with_time

TENTH = 10**8
MINUTE = 60 * 10**9


@pytest.mark.parametrize(
    ("text", "period_ns", "expected"),
    [
        ("over the last 27,000 rows", TENTH, "over the last 27,000 rows (45 min)"),
        ("over the last 27000 rows.", TENTH, "over the last 27000 rows (45 min)."),
        ("after 300 rows, then 12 rows", TENTH, "after 300 rows (30 s), then 12 rows (1 s)"),
        ("1,234,567 rows", TENTH, "1,234,567 rows (34 h)"),
        ("1 row", MINUTE, "1 row (60 s)"),
        ("9 rows", TENTH, "9 rows"),  # not a second
        ("300 rows (30 s)", TENTH, "300 rows (30 s)"),  # says it already
        ("300 rows", 0, "300 rows"),
        ("rows 3 of 5 rowsets, 7 samples", MINUTE, "rows 3 of 5 rowsets, 7 samples"),
        ("every 2.5 rows, or 1,2345 rows", MINUTE, "every 2.5 rows, or 1,2345 rows"),
        ("9" * 5000 + " rows", TENTH, "9" * 5000 + " rows"),
        ("1,000" + ",000" * 400 + " rows", TENTH, "1,000" + ",000" * 400 + " rows"),
        ("nothing", TENTH, "nothing"),
    ],
)
def test_the_time_stands_behind_each_number_of_rows(
    text: str, period_ns: float, expected: str
) -> None:
    assert with_time(text, period_ns) == expected
