"""Times as people write them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.recording import Choice, Recording
from quartet.recording.times import find_order, moment

NOON_NS = 1_714_564_800 * 10**9  # 2024-05-01T12:00:00Z
SECOND_NS = 10**9
MIDNIGHT_NS = NOON_NS - 12 * 3600 * SECOND_NS


@pytest.mark.parametrize(
    ("text", "at_ns"),
    [
        ("2024-05-01T12:00:00Z", NOON_NS),
        ("2024-05-01 14:00:00+02:00", NOON_NS),
        ("2024-05-01 12:00:00", NOON_NS),
        ("2024-05-01T12:00:00.500000123Z", NOON_NS + SECOND_NS // 2),
        ("2024/05/01 12:00", NOON_NS),
        ("01.05.2024 12:00:00", NOON_NS),
        ("01/05/24 12:00:00 PM", NOON_NS),
        ("1/5/2024 12:00:00 a.m.", MIDNIGHT_NS),
        ("01-May-2024 12:00:00,25", NOON_NS + SECOND_NS // 4),
        ("1. Mai 2024 12:00", NOON_NS),
        ("1 mai 2024 12:00", NOON_NS),
        ("Wed May  1 12:00:00 2024", NOON_NS),
        ("May 1, 2024 12:00 PM", NOON_NS),
        ("2024-05-01", MIDNIGHT_NS),
        ("12:00:00", 12 * 3600 * SECOND_NS),
        ("yesterday", None),
        ("13:00 PM", None),
        ("May 2024", None),
        ("31.04.2024", None),
        ("1,5", None),
    ],
)
def test_a_time_is_read_where_it_can_be(text: str, at_ns: int | None) -> None:
    assert moment(text, "DMY") == at_ns


@settings(derandomize=True, deadline=None)
@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1)),
    st.sampled_from(["%d.%m.%Y %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%d %b %Y %I:%M:%S %p"]),
)
def test_what_strftime_writes_is_read_back(when: datetime, form: str) -> None:
    whole = when.replace(microsecond=0, tzinfo=UTC)
    assert moment(whole.strftime(form), "DMY") == int(whole.timestamp()) * SECOND_NS


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.text(st.sampled_from("0123456789-/.: TZ+apmMayÄ\0"), max_size=30))
def test_any_text_is_a_time_or_none(text: str) -> None:
    assert isinstance(moment(text), int | None)


@pytest.mark.parametrize(
    ("tokens", "order", "words"),
    [
        (["13/02/2024"], "DMY", "because of 13/02/2024"),
        (["02/13/2024"], "MDY", "because of 02/13/2024"),
        (["01/02/2024", "02/02/2024"], "DMY", "only so do the dates follow each other"),
        (["01/31/24", "02/01/24"], "MDY", "because of 01/31/24"),
        (["24/05/01", "24/05/02"], "YMD", "only so"),
        (["01/02/2024"], "DMY", "nothing in the file tells"),
        (["01.02.2024"], "DMY", ""),
        (["2024-05-01"], "DMY", ""),
    ],
)
def test_the_order_of_a_date_is_decided_by_the_whole_file(
    tokens: list[str], order: str, words: str
) -> None:
    found, said = find_order(tokens)
    assert found == order
    assert words in said
    assert bool(words) == bool(said)


def test_with_am_or_pm_the_month_is_first_where_the_file_leaves_it_open() -> None:
    assert find_order(["01/02/2024"], "01/02/2024 12:00:00 PM")[0] == "MDY"
    assert find_order(["13/02/2024"], "13/02/2024 12:00:00 PM")[0] == "DMY"


@pytest.mark.parametrize(
    ("name", "cells", "first_ns", "step_ns"),
    [
        ("time", ["1714564800", "1714564801"], NOON_NS, SECOND_NS),
        ("x", ["1714564800.5", "1714564801.5"], NOON_NS + SECOND_NS // 2, SECOND_NS),
        ("time", ["1714564800000", "1714564800100"], NOON_NS, 10**8),
        ("time", ["1714564800000000", "1714564800000001"], NOON_NS, 1000),
        ("time", ["1714564800000000000", "1714564800000000001"], NOON_NS, 1),
        ("time", ["3797409600", "3797409601"], NOON_NS, SECOND_NS),  # LabVIEW
        ("Date", ["45413.5", "45413.5000115740741"], NOON_NS, None),  # Excel
        ("t [ms]", ["0", "250"], 0, 250 * 10**6),
        ("Time (min)", ["0", "1"], 0, 60 * SECOND_NS),
        ("Uhrzeit", ["23:59:59", "00:00:00"], 86_399 * SECOND_NS, SECOND_NS),
        ("time", ["01:00:00 AM", "01:00:01 AM"], 3600 * SECOND_NS, SECOND_NS),
    ],
)
def test_clocks_count_in_their_own_unit(
    name: str, cells: list[str], first_ns: int, step_ns: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    lines = [f'"{name}",a,b,c,d', *(f"{cell},1,2,{n},4" for n, cell in enumerate(cells))]
    path.write_text("\n".join(lines) + "\n")
    with Recording(path, Choice(("a", "b", "c", "d"), name)) as recording:
        first, second = [row.at_ns for row in recording]
    assert first == first_ns
    assert second is not None
    if step_ns is not None:
        assert second - first == step_ns
    else:
        assert abs(second - first - SECOND_NS) < SECOND_NS / 100


def test_a_time_that_cannot_be_read_is_said_and_no_reason_to_refuse(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time,a,b,c,d\n2024-05-01 12:00,1,2,3,4\n99:99:99,1,2,5,4\n")
    with Recording(path) as recording:
        assert [row.at_ns for row in recording] == [NOON_NS, None]
        assert recording.remarks == [f"{path}: line 3: the time of this row cannot be read"]


def test_a_form_of_time_that_is_unknown_is_said_once_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time,a,b,c,d\n2024-05-01 12:00 QQQ,1,2,3,4\n2024-05-01 12:01 QQQ,1,2,5,4\n")
    with Recording(path) as recording:
        assert "time =" not in str(recording.binding)
        assert len(recording.remarks) == 1
        assert [row.at_ns for row in recording] == [None, None]


@pytest.mark.parametrize(("count", "step_ns"), [(120, 60 * SECOND_NS), (50, 100 * SECOND_NS)])
def test_a_time_of_day_in_digits_is_known_where_the_file_is_long_enough(
    count: int, step_ns: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    cells = [f"{n // 60:02d}{n % 60:02d}00" for n in range(count)]
    path.write_text("time,a,b,c,d\n" + "".join(f"{c},1,2,{n % 7},4\n" for n, c in enumerate(cells)))
    with Recording(path, Choice(("a", "b", "c", "d"))) as recording:
        first, second, *_ = [row.at_ns for row in recording]
    assert first == 0
    assert second == step_ns


def test_hours_and_minutes_are_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time,a,b,c,d\n00:01,1,2,3,4\n00:02,1,2,5,4\n")
    with Recording(path) as recording:
        assert recording.remarks == [f"{path}: '00:01' is read as hours and minutes"]


@pytest.mark.parametrize(
    ("name", "is_guess"),
    [("Time", True), ("Time (s)", False), ("time_ms", False), ("millis", False)],
)
def test_a_unit_that_nothing_names_is_said_to_be_a_guess(
    tmp_path: Path, name: str, *, is_guess: bool
) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(
        f"{1034 + 50 * n},{n * n % 3}.5,{n * n % 5}.25,{n * n % 7},{n * n % 4}.75\n"
        for n in range(40)
    )
    path.write_text(f"{name},a,b,c,d\n{rows}")
    with Recording(path, Choice(("a", "b", "c", "d"))) as recording:
        told = "names no unit, and is read as seconds" in "\n".join(recording.remarks)
    assert told is is_guess
