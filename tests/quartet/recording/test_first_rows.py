"""The first rows of a recording tell what the others are like: none is lost, unless it is said."""

import math
from pathlib import Path

import pytest
from support.recordings import bits, read_bytes

from quartet.recording import Recording

ROWS = [(n * 4 % 9 - 2.25, n * 7 % 9 / 8, n * 5 % 9 + 0.5, n * 2 % 9 - 3.5) for n in range(9)]


def lines(delimiter: str, *, noted: int, note: str = "start") -> list[str]:
    """Rows with a time, of which one has a note behind its numbers."""
    return [
        delimiter.join((f"0.{number:06d}", *(f"{value:.4f}" for value in row)))
        + (f"{delimiter}{note}\n" if number == noted else "\n")
        for number, row in enumerate(ROWS)
    ]


@pytest.mark.parametrize("noted", [0, 4])
@pytest.mark.parametrize(("delimiter", "last"), [("\t", "Comment"), (",", "Pump"), (";", "Note")])
def test_a_last_column_with_text_in_one_row_only_costs_neither_rows_nor_names(
    delimiter: str, last: str, noted: int, tmp_path: Path
) -> None:
    header = delimiter.join(("X_Value (s)", "a", "b", "c", "d", last))
    path = tmp_path / "a.txt"
    path.write_text(f"{header}\n{''.join(lines(delimiter, noted=noted))}")
    with Recording(path, extra=(last,)) as recording:
        rows = list(recording)
        names = [sensor.name for sensor in recording.binding.sensors if sensor]
    assert [row.values for row in rows] == ROWS
    assert [row.extra for row in rows] == [
        ("start" if number == noted else "",) for number in range(len(ROWS))
    ]
    assert (names, recording.remarks) == (["a", "b", "c", "d"], [])


def test_a_last_line_cut_within_the_last_column_that_all_rows_have_is_left_out(
    tmp_path: Path,
) -> None:
    raw = "t,a,b,c,d,Note\n" + "".join(lines(",", noted=0))
    rows, message, remarks = read_bytes(tmp_path / "a.csv", raw[:-3].encode())
    assert (rows, message) == (ROWS[:-1], "")
    assert "the last line is cut off, and is left out" in remarks[-1]


@pytest.mark.parametrize(
    ("begin", "reason"),
    [
        ("45,2.1,3.0\n", "the first line is cut off, and is left out"),
        (".5\n", "the first line is cut off, and is left out"),
        ("a,b,c,d\n1,2,3,4,5,on\n", "line 2 has 6 columns instead of 4, and is left out"),
    ],
)
def test_a_first_row_that_is_left_out_is_told(begin: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(begin + "".join(f"{','.join(map(str, row))}\n" for row in ROWS))
    with Recording(path) as recording:
        assert [row.values for row in recording] == ROWS
        assert recording.remarks == [f"{path}: {reason}"]


@pytest.mark.parametrize("begin", ["Rate,1000\n", "-,-,-\n", "a,b,c,d\n\n", "sep=,\n"])
def test_what_is_no_row_is_left_out_without_a_word(begin: str, tmp_path: Path) -> None:
    text = "".join(f"{','.join(map(str, row))}\n" for row in ROWS)
    raw = f"{begin}{text}".encode()
    assert read_bytes(tmp_path / "a.csv", raw, "1", "2", "3", "4") == (ROWS, "", [])


@pytest.mark.parametrize("when", ["17099931{:02d}000000000", "2024-03-09 14:05:{:02d}"])
@pytest.mark.parametrize("tags", ["attic,north", "attic,north,3rd floor,left"])
def test_rows_with_more_words_than_numbers_are_rows(when: str, tags: str, tmp_path: Path) -> None:
    keys = ",".join(f"tag{n}" for n in range(tags.count(",") + 1))
    rows = [
        f"weather,{when.format(n)},raspberrypi,{row[0]},{tags},{'' if n == 3 else row[1]}\n"
        for n, row in enumerate(ROWS)
    ]
    text = f"name,time,host,humidity,{keys},temperature\n{''.join(rows)}"
    values, message, remarks = read_bytes(
        tmp_path / "a.csv", text.encode(), "humidity", "temperature"
    )
    wanted = [(row[0], math.nan if n == 3 else row[1], 0.0, 0.0) for n, row in enumerate(ROWS)]
    assert (bits(values), message, remarks) == (bits(wanted), "", [])


@pytest.mark.parametrize("text", ["one, two, 3\n" * 9, "pump 1, on, off\nfan 2, off, on\n" * 9])
def test_words_with_a_number_here_and_there_are_no_rows(text: str, tmp_path: Path) -> None:
    assert "the file has no rows" in read_bytes(tmp_path / "a.csv", text.encode())[1]


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_blanks_behind_a_sign_belong_to_the_number(delimiter: str, tmp_path: Path) -> None:
    text = "".join(
        delimiter.join(
            (
                str(n),
                *(f"{'+-'[value < 0]}{abs(value):>9.3f}" for value in row),
                "LLLLLLLLLL",
                "LLLL",
            )
        )
        + "\n"
        for n, row in enumerate(ROWS)
    )
    assert read_bytes(tmp_path / "a.csv", text.encode()) == (ROWS, "", [])


def test_a_preamble_of_numbers_behind_words_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "a.lvm"
    preamble = (
        "Channels\t4\t\t\t\nSamples\t9\t9\t9\t9\nDelta_X\t0.1\t0.1\t0.1\t0.1\n***End***\t\t\t\t\n"
    )
    body = "".join(lines("\t", noted=-1))
    path.write_text(f"{preamble}X_Value (s)\ta\tb\tc\td\n{body}")
    with Recording(path) as recording:
        assert [row.values for row in recording] == ROWS
        assert [sensor.name for sensor in recording.binding.sensors if sensor] == list("abcd")


def test_a_preamble_as_wide_as_the_names_is_no_row_below_them(tmp_path: Path) -> None:
    preamble = "Channels\t4\t\t\t\t\nSamples\t9\t9\t9\t9\t\nX0\t0\t0\t0\t0\t\n"
    names = "X_Value (s)\ta\tb\tc\td\tComment\n"
    text = preamble + names + "".join(lines("\t", noted=0))
    assert read_bytes(tmp_path / "a.lvm", text.encode()) == (ROWS, "", [])


def test_names_and_units_are_found_above_a_last_column_with_text_in_one_row(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(
        ",".join(f"{value:.3f} V" for value in row) + (",on\n" if n == 0 else "\n")
        for n, row in enumerate(ROWS)
    )
    path.write_text(f"a,b,c,d,State\n{rows}")
    with Recording(path) as recording:
        assert [row.values for row in recording] == ROWS
        sensors = [(sensor.name, sensor.unit) for sensor in recording.binding.sensors if sensor]
    assert sensors == [("a", "V"), ("b", "V"), ("c", "V"), ("d", "V")]
