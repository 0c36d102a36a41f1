"""Nothing of a recording is misread, dropped or exchanged without a word."""

import math
import random
from pathlib import Path

import pytest

from quartet.errors import TableError
from quartet.recording import Choice, Recording
from quartet.recording.cells import is_missing

_CHANCE = random.Random(18)  # noqa: S311 - the same each time

ABCD = Choice(("A", "B", "C", "D"))


def four(delimiter: str = ",") -> str:
    return delimiter.join(f"{_CHANCE.gauss(20, 1):.2f}" for _ in range(4))


def rows(count: int = 40, begin: str = "", end: str = "") -> str:
    """Rows of four sensors; in `begin` and `end`, {n} is the number of the row."""
    return "".join(f"{begin.format(n=n)}{four()}{end.format(n=n)}\n" for n in range(count))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.csv"


def refusal(path: Path, text: str, choice: Choice = Choice()) -> str:  # noqa: B008
    """Why a recording is refused, at first or at a later row."""
    path.write_text(text)
    with pytest.raises(TableError) as raised, Recording(path, choice, command="X") as recording:
        list(recording)
    return str(raised.value)


@pytest.mark.parametrize("word", ["nan", "NA"])
def test_a_sensor_that_never_reads_is_not_replaced_by_another_column(path: Path, word: str) -> None:
    lines = [
        f"{n},20.{n * 7 % 10},{word},1.{n * 3 % 10},2.{n * 9 % 10},3.{n * 11 % 13}"
        for n in range(40)
    ]
    assert "no reading at all" in refusal(path, "time,A,B,C,D,Case\n" + "\n".join(lines) + "\n")


@pytest.mark.parametrize(
    "word", ["9,90000E+37", "+9.9E37", "---.-", "--.-", "OVR", "-1.#IND", "1.#QNAN", "-----"]
)
def test_what_instruments_write_for_a_failed_reading_is_known(word: str) -> None:
    assert is_missing(word)


def test_an_overload_with_a_decimal_comma_is_no_value(path: Path) -> None:
    path.write_text("A;B;C;D\n" + "1,5;2,5;3,5;4,5\n" * 3 + "1,5;9,90000E+37;3,5;4,5\n")
    with Recording(path, ABCD) as recording:
        assert math.isnan(list(recording)[-1].values[1])


def test_a_row_that_begins_with_a_word_for_missing_is_no_comment(path: Path) -> None:
    path.write_text("X,A,B,C,D\n" + rows(9, "1,") + rows(9, "#N/A,") + rows(9, "2,"))
    with Recording(path, ABCD) as recording:
        assert len(list(recording)) == 27


def test_a_tab_with_decimal_commas_of_three_digits_is_clear(path: Path) -> None:
    path.write_text("50,929\t1,234\t2,345\t3,456\n51,930\t1,235\t2,346\t3,400\n" * 5)
    with Recording(path) as recording:
        assert next(iter(recording)).values == (50.929, 1.234, 2.345, 3.456)


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ("time,A,B,C,D", "time,B,A,D,C"),
        ("time,A (V),B (V),C (V),D (V)", "time,A (mV),B (mV),C (mV),D (mV)"),
        ("time,A,B,C,D\ns,V,V,V,V", "time,A,B,C,D\ns,V,mV,V,V"),
        ("# time,A,B,C,D", "# time,B,A,C,D"),
        ("time,A,B,C,D", "time,A,B,C,D,E"),
        ("time,1,2,3,4", "time,2,1,3,4"),
    ],
)
def test_a_restart_with_other_columns_is_refused(path: Path, first: str, later: str) -> None:
    text = f"{first}\n{rows(20, '{n},')}{later}\n{rows(20, '{n},')}"
    assert "with other columns than above" in refusal(path, text)
    path.write_text(text.replace(later, first))
    with Recording(path) as recording:
        assert len(list(recording)) == 40


@pytest.mark.parametrize(
    ("header", "begin"),
    [
        ("Timestamp (UTC+1),40001,40002,40003,40004", "2026-11-24 12:00:{n:02d},"),
        ("time,100,200,300,400", "{n},"),
        ("101,102,103,104", ""),
        ("x-axis,1,2,3,4\nsecond,Volt,Volt,Volt,Volt", "{n}e-3,"),
    ],
)
def test_numbers_can_be_the_names(path: Path, header: str, begin: str) -> None:
    text = f"{header}\n{rows(40, begin)}"
    path.write_text(text + text)
    names = header.partition("\n")[0].split(",")[-4:]
    with Recording(path) as recording:
        assert [sensor.name for sensor in recording.binding.sensors if sensor] == names
        assert len(list(recording)) == 80


def counts(begin: str) -> str:
    """Rows of whole numbers."""
    lines = [
        f"{begin.format(n=n)}{n * 37 % 90},{n * 29 % 80},{n * 31 % 70},12\n" for n in range(30)
    ]
    return "".join(lines)


def test_numbers_above_those_of_rows_are_the_names_of_pandas(path: Path) -> None:
    path.write_text(",0,1,2,3\n" + counts("{n},"))
    with Recording(path) as recording:
        assert 'sensor1 = "0"' in str(recording.binding)
        assert len(list(recording)) == 30


def test_whole_numbers_above_others_may_be_names_or_a_row(path: Path) -> None:
    text = "101,102,103,104\n" + counts("")
    assert "line 1 can be a row, or the numbers of the columns" in refusal(path, text)


@pytest.mark.parametrize(
    ("header", "first", "begin"),
    [
        ("A,B,C,D", "NA,NA,NA,NA", ""),
        ("time,A,B,C,D", "2026-11-24 11:00:00,,,,", "2026-11-24 12:00:{n:02d},"),
        ("id,A,B,C,D", "sensor.x,unavailable,unavailable,,unknown", "sensor.x,"),
    ],
)
def test_first_rows_without_a_reading_are_rows(
    path: Path, header: str, first: str, begin: str
) -> None:
    path.write_text(f"{header}\n{first}\n{first}\n{rows(40, begin)}")
    with Recording(path, ABCD) as recording:
        given = list(recording)
        assert [sensor.name for sensor in recording.binding.sensors if sensor] == list("ABCD")
    assert len(given) == 42
    assert [row.line for row in given if math.isnan(row.values[0])] == [2, 3]


def test_a_file_that_grows_a_column_is_refused(path: Path) -> None:
    text = f"time,A,B,C,D\n{rows(50, '{n},')}time,A,B,C,D,E\n{rows(50, '{n},', ',1.5')}"
    assert "line 2 has 5 columns, but the lines from 53 on have 6" in refusal(path, text, ABCD)


@pytest.mark.parametrize("last", ["20001,20300,20400,20", "20001,20300,20400,2030"])
def test_a_last_row_of_whole_numbers_that_is_cut_is_left_out(path: Path, last: str) -> None:
    path.write_text("20000,20300,20400,20301\n20007,20309,20405,20307\n" * 9 + last)
    with Recording(path) as recording:
        assert len(list(recording)) == 18
        assert "the last line is cut off" in recording.remarks[0]


# A clock is no sensor, and a sensor is no clock


@pytest.mark.parametrize("name", ["Channel 3", "Tank at inlet", "Sample Temp", "Count rate"])
def test_a_name_alone_makes_no_clock_of_a_rising_sensor(path: Path, name: str) -> None:
    curve = [f"{four()},{80 - 60 * math.exp(-n / 20):.3f}\n" for n in range(60)]
    assert "rises from each row" in refusal(path, f"a,b,c,d,{name}\n" + "".join(curve))


@pytest.mark.parametrize(
    ("header", "begin"),
    [("V,I,T,P,mAh", ""), ("Date,V,I,T,P,E_kWh", "2026-11-24 12:00:{n:02d},"), ("", "")],
)
def test_a_sum_that_rises_steadily_is_not_the_time(path: Path, header: str, begin: str) -> None:
    lines = [f"{begin.format(n=n)}{four()},{n * 0.25}\n" for n in range(40)]
    assert "rises steadily" in refusal(path, f"{header}\n" + "".join(lines))


@pytest.mark.parametrize("name", ["mm", "ms"])
def test_decimals_are_no_part_of_a_date(path: Path, name: str) -> None:
    path.write_text(f"a,b,c,{name}\n" + rows())
    with Recording(path) as recording:
        assert f'sensor4 = "{name}"' in str(recording.binding)


@pytest.mark.parametrize("name", ["mm", "hour", "min"])
def test_a_lone_part_of_a_date_may_be_a_sensor(path: Path, name: str) -> None:
    lines = [f"{n * 7 % 12},{four()}\n" for n in range(40)]
    assert "perhaps a part of a date" in refusal(path, f"{name},a,b,c,d\n" + "".join(lines))


def test_seconds_of_a_short_run_are_its_time(path: Path) -> None:
    path.write_text("seconds,a,b,c,d\n" + rows(40, "{n},"))
    with Recording(path) as recording:
        assert 'time = "seconds"' in str(recording.binding)


@pytest.mark.parametrize("number", ['"1,200.50"', "1 010.5", "1'010"])
def test_numbers_with_marks_between_thousands_are_not_ignored(path: Path, number: str) -> None:
    assert "marks between thousands" in refusal(path, "P,a,b,c,d\n" + rows(40, f"{number},"))


YEAR_NS = 365 * 86_400 * 10**9


@pytest.mark.parametrize(
    ("name", "cells", "at_ns"),
    [
        ("Time (s)", ["40000.0", "40000.1", "40000.2"], 40_000 * 10**9),
        ("Minutes", ["40000.5", "40001.0", "40001.5"], 40_000 * 60 * 10**9 + 30 * 10**9),
        ("micros", ["1200000000", "1200010000", "1200020000"], 1_200_000_000_000),
        ("time_ms", ["1200000000", "1200000100", "1200000200"], 1_200_000 * 10**9),
        ("timestamp", ["20240501120000", "20240501120001", "20240501120002"], 1714564800 * 10**9),
        ("timestamp", ["4000", "1714564800000", "1714564800100"], None),
        ("epoch", ["99999999999999999", "1714564800", "1714564801"], None),
        ("date", ["9999-12-31 10:00", "2024-05-01 12:00", "2024-05-01 12:01"], None),
    ],
)
def test_a_time_is_read_in_its_own_unit_and_years_that_are_none_are_said(
    path: Path, name: str, cells: list[str], at_ns: int | None
) -> None:
    path.write_text(f"{name},A,B,C,D\n" + "".join(f"{cell},{four()}\n" for cell in cells))
    with Recording(path, Choice(ABCD.columns, name)) as recording:
        given = [row.at_ns for row in recording]
        assert given[0] == at_ns
        assert given[1] is not None
        assert given[2] is not None
        assert 0 < given[2] - given[1] <= 60 * 10**9
        if at_ns is None:
            assert given[1] == 1_714_564_800 * 10**9
            assert "line 2: the time of this row cannot be read" in recording.remarks[0]


@pytest.mark.parametrize(
    ("header", "begin", "end", "time"),
    [
        ("_start,_time,a,b,c,d", "2026-11-24T12:00:00Z,2026-11-24T12:00:{n:02d}Z,", "", '"_time"'),
        ("Date,a,b,c,d,Time", "24.11.2026,", ",12:00:{n:02d}", '"Date" and "Time"'),
        ("Time,a,b,c,d,ms", "2026-11-24 12:00:00,", ",{n}", '"Time" and "ms"'),
        ("Minutes,a,b,c,d", "{n}.5,", "", '"Minutes"'),
        ("Date,Time,a,b,c,d", "11/24/26,1:{n:02d} p,", "", '"Date" and "Time"'),
        ("Device Time,a,b,c,d", "Tue Nov 24 17:30:{n:02d} GMT+01:00 2026,", "", '"Device Time"'),
    ],
)
def test_the_time_is_the_one_that_varies(
    path: Path, header: str, begin: str, end: str, time: str
) -> None:
    path.write_text(f"{header}\n{rows(40, begin, end)}")
    with Recording(path) as recording:
        assert f"time = {time}" in str(recording.binding)
        times = [row.at_ns for row in recording if row.at_ns is not None]
    assert len(set(times)) == 40
    assert times == sorted(times)


def test_a_first_time_that_cannot_be_read_costs_only_its_own(path: Path) -> None:
    path.write_text("time,a,b,c,d\nn/a,1,2,3,4\n" + rows(40, "2026-11-24 12:00:{n:02d},"))
    with Recording(path) as recording:
        assert [row.at_ns is None for row in recording] == [True] + [False] * 40


def test_remarks_are_counted_for_each_reading_and_said_once(path: Path) -> None:
    path.write_text("A,B,C,D\n" + rows(9) + "1,NA,3,4\n" + rows(9))
    said: list[str] = []
    with Recording(path, say=said.append) as recording:
        for _ in range(3):
            assert len(list(recording)) == 19
            assert recording.remarks == said
    assert len(said) == 1


def test_a_single_row_without_a_line_end_is_a_row(path: Path) -> None:
    path.write_text("A,B,C,D\n1,2,3,4")
    with Recording(path) as recording:
        assert [row.values for row in recording] == [(1, 2, 3, 4)]


@pytest.mark.parametrize(("name", "is_said"), [("entity_id", True), ("state", False)])
def test_rows_of_different_sensors_are_said(path: Path, name: str, is_said: bool) -> None:
    lines = [f"{n},sensor.{'ab'[n % 2]},{n * 7 % 10}.5\n" for n in range(40)]
    path.write_text(f"time,{name},A\n" + "".join(lines))
    with Recording(path, Choice(("A",))) as recording:
        assert any("sensor.a, sensor.b" in each for each in recording.remarks) == is_said
