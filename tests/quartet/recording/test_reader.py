"""The rows of a recording: read back as they were written, or refused with the place."""

import gzip
import math
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.recordings import PACKERS, Dialect, bits, dialects, many, read, read_bytes, tables

from quartet.channels import FLOAT32_MAX, Values
from quartet.errors import QuartetError, TableError
from quartet.recording import Choice, Recording

CHOSEN = Choice(("a", "b", "c", "d"))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recording") / "samples.csv"


# What is read back


@settings(many, max_examples=300)
@given(dialects(), tables)
def test_a_table_in_any_dialect_is_read_back_equal(
    path: Path, dialect: Dialect, table: list[Values]
) -> None:
    path.write_bytes(dialect.encode(table))
    rows, message, _ = read(path, CHOSEN)
    assert message == ""
    assert bits(rows) == bits(table)


@many
@given(tables, st.data())
def test_a_cut_anywhere_leaves_the_rows_before_it(
    path: Path, table: list[Values], data: st.DataObject
) -> None:
    raw = "".join(f"{','.join(map(repr, row))}\n" for row in table).encode()
    rows, _, _ = read_bytes(path, raw[: data.draw(st.integers(0, len(raw)))], "1", "2", "3", "4")
    whole = rows[:-1]  # of the last, a part may be a number too
    assert bits(whole) == bits(table[: len(whole)])


@pytest.mark.parametrize("kind", [*PACKERS, "zip"])
def test_a_packed_file_is_read_like_a_plain_one(kind: str, tmp_path: Path) -> None:
    raw = b"1,2,3.5,4\n" * 3
    path = tmp_path / f"a.csv.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("a.csv", raw)
    else:
        path.write_bytes(PACKERS[kind](raw))
    assert read(path) == ([(1.0, 2.0, 3.5, 4.0)] * 3, "", [])


def test_a_packed_file_that_ends_early_gives_its_rows_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    lines = "".join(f"{number * 37 % 101}.5,2,3,{number * 7 % 5}\n" for number in range(2000))
    path.write_bytes(gzip.compress(lines.encode())[:-20])
    rows, message, remarks = read(path)
    assert message == ""
    assert 0 < len(rows) <= 2000
    assert any("ends early" in remark for remark in remarks)


def test_a_zip_file_with_several_files_names_them(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("one.csv", "1,2,3,4\n")
        packed.writestr("two.csv", "1,2,3,4\n")
    assert "got 2 (one.csv, two.csv)" in read(path)[1]


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"PAR1abcdefgh", "Parquet: convert"),
        (b"TDSm\x0e\0\0\0", "TDMS: convert"),
        (b"\xd0\xcf\x11\xe0abcd", "an Excel workbook: save"),
    ],
)
def test_a_foreign_format_is_refused_with_a_way_to_convert_it(
    path: Path, raw: bytes, what: str
) -> None:
    assert what in read_bytes(path, raw)[1]


def test_a_spreadsheet_is_refused_with_a_way_to_convert_it(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("[Content_Types].xml", "")
        packed.writestr("xl/workbook.xml", "")
    assert f"libreoffice --headless --convert-to csv {path}" in read(path)[1]


def test_it_can_be_read_again_from_its_start(path: Path) -> None:
    path.write_bytes(b"1,2,3,4\n5,6,7,9\n")
    with Recording(path) as recording:
        assert [row.line for row in recording] == [1, 2]
        assert [row.line for row in recording] == [1, 2]


def test_further_columns_come_as_they_are_written(path: Path) -> None:
    path.write_bytes(b'a,b,c,d,label\n1,2,3,4, "yes" \n5,6,7,9,no\n')
    with Recording(path, extra=("label",)) as recording:
        assert [row.extra for row in recording] == [("yes",), ("no",)]


def test_a_channel_without_a_column_is_0(path: Path) -> None:
    assert read_bytes(path, b"a,b,c\n1,2,3\n4,5,6\n", "c", "1")[0] == [(3, 1, 0, 0), (6, 4, 0, 0)]


# What a reading can be


def test_words_for_a_failed_reading_are_nan_and_said_once(path: Path) -> None:
    words = ["NA", "null", "-", "#N/A", "unavailable", "OL", "ERR", "nan", "+9.9E+37"]
    words += ["No Data", "Timeout error", "#NV"]
    raw = "1,2,3,4\n1,2,3,5\n" + "".join(f"1,{word},3,4\n" for word in words) + "1,2,3,4\n"
    path.write_text(raw)
    with Recording(path) as recording:
        failed = [math.isnan(row.values[1]) for row in recording]
        assert failed == [False] * 2 + [True] * len(words) + [False]
        assert recording.remarks == [
            f"{path}: line 3: 'NA' is a failed reading ({len(words)} failed readings)"
        ]


def test_an_empty_cell_is_nan(path: Path) -> None:
    rows, message, _ = read_bytes(path, b"1,2,3,4\n0,,2,nan\n, ,,\n")
    assert message == ""
    nan = math.nan
    assert bits(rows) == bits([(1, 2, 3, 4), (0, nan, 2, nan), (nan, nan, nan, nan)])


def test_the_greatest_float32_is_no_overload(path: Path) -> None:
    most = FLOAT32_MAX
    rows, _, _ = read_bytes(path, f"{most!r},{-most!r},inf,-0.0\n1,2,3,4\n".encode())
    assert bits(rows[:1]) == bits([(most, -most, math.inf, -0.0)])


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("x", "'x' is not a number"),
        ('"1,5"', "'1,5' is not a number: write the decimal point as '.'"),
        ("1'207", "\"'1'207' is not a number: it seems to have a thousands mark"[1:]),
        ("1_0", "'1_0' is not a number"),
        ("0x10", "'0x10' is not a number"),
        ("1e39", "'1e39' is too large for a 32-bit float"),
        ("\N{ARABIC-INDIC DIGIT ONE}", "'\N{ARABIC-INDIC DIGIT ONE}' is not a number"),
        ("x" * 50, f"'{'x' * 40}...' is not a number"),
    ],
)
def test_a_bad_value_is_said_with_its_place_and_reason(path: Path, cell: str, reason: str) -> None:
    rows, message, _ = read_bytes(path, f"0,1.5,3,4\n1,0.5,3,4\n1,{cell},3,4\n1,2,3,4\n".encode())
    assert len(rows) == 2
    assert message.startswith(f"{path}: line 3, column 2: {reason}")


@pytest.mark.parametrize(
    ("raw", "reason", "given_rows"),
    [
        (b"", "line 1: the file has no rows", 0),
        (b"\xef\xbb\xbf", "line 1: the file has no rows", 0),
        (b"\n \r\n\n", "line 4: the file has no rows", 0),
        (b"a,b,c,d\n", "line 2: the file has no rows", 0),
        (b"hello\nworld\n", "line 3: the file has no rows", 0),
        (b'{"id": 0, "sensor1": 1.5}\n' * 3, "line 1: this is JSON: expected a CSV file", 0),
        (b'\xef\xbb\xbf\n[{"id": 0}, {"id": 1}]\n', "line 1: this is JSON: expected a CSV", 0),
        (b"[Header]\n[Data]\n", "line 3: the file has no rows", 0),
        (b"1;2;3;4\n1;2;3;4\n5,6,7,8\n", "line 3: expected 4 columns, got 1", 2),
        (b"1,2,3,4\n1,2,3,4\n5,6\n", "line 3: expected 4 columns, got 2", 2),
        (b'1,2,3,4\n1,2,3,4\n5,6,7,"8\n', "line 3: not a CSV line: ", 2),
        (b'1,2,3,4\n1,2,3,4\n5,6,7,"8"9\n', "line 3: not a CSV line: ", 2),
        (b"1,2,3,4\n1,2,3,4\n1,2,\xb0,4\n", "line 3, column 3: '\N{DEGREE SIGN}' is not a", 2),
        (b"1,2,3,4\n1,2,3,4\n5,6,7,8,9\n", "line 3: expected 4 columns, got 5", 2),
    ],
)
def test_what_is_no_table_is_refused_with_file_and_line(
    path: Path, raw: bytes, reason: str, given_rows: int
) -> None:
    rows, message, _ = read_bytes(path, raw)
    assert len(rows) == given_rows
    assert message.startswith(f"{path}: {reason}")


@pytest.mark.parametrize(
    "raw",
    [
        b"1,207,1,405\n1,311,1,400\n",
        b"a,b\n1,207,1,405\n1,311,1,400\n",
        b'a,b,c,d\n"1,207","1,405","2,000","3,100"\n"1,208","1,405","2,000","3,100"\n',
        b"0,05,1,25\n0,06,1,26\n",
    ],
)
def test_numbers_that_may_have_commas_inside_are_refused(path: Path, raw: bytes) -> None:
    rows, message, _ = read_bytes(path, raw)
    assert rows == []
    assert "thousands" in message or "comma" in message


# Restarts and power failures

ROWS = b"".join(b"%d,1.%02d,2.50,3.25,4.75\n" % (n, n * 37 % 100) for n in range(12))
TOP = b"Logger X\nStart: 1\nn,a,b,c,d\n"


@pytest.mark.parametrize(
    ("raw", "rows", "remark"),
    [
        (TOP + ROWS + TOP + ROWS, 24, "started again"),
        (TOP + ROWS + b"5,1.1\n" + TOP + ROWS, 24, "cut off"),
        (TOP + ROWS + b"5,1.1" + TOP + ROWS, 24, "started again"),
        (TOP + ROWS + b"5,1.1" + b"\0" * 5000 + ROWS, 24, "power failure"),
        (TOP + ROWS + b"\0" * 100 + b"\n" + ROWS, 24, "power failure"),
        (TOP + ROWS + b"\0" * 100, 12, "power failure"),
        (TOP + ROWS + b"12,1.12,2.5", 12, "cut off"),
        (TOP + ROWS + b"12,1.12,2.50,3.25,4.7", 12, "cut off"),
        (TOP + ROWS + b"12,1.12,2.50,3.25,4.75", 13, ""),
        (TOP + ROWS + b"# a comment\n\n" + ROWS, 24, ""),
    ],
)
def test_what_a_restart_leaves_is_no_data_and_is_said(
    path: Path, raw: bytes, rows: int, remark: str
) -> None:
    given, message, remarks = read_bytes(path, raw)
    assert message == ""
    assert len(given) == rows
    assert any(remark in each for each in remarks) if remark else remarks == []


# What cannot be opened


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file that fails to be read")
def test_a_file_that_fails_while_it_is_read_is_refused() -> None:
    assert read(Path("/proc/self/mem"))[1] == "/proc/self/mem: cannot be read: Input/output error"


@pytest.mark.parametrize(
    ("name", "reason"), [("none.csv", "No such file"), (".", "Is a dir"), ("a\0b", "embedded null")]
)
def test_what_cannot_be_opened_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    message = read(tmp_path / name)[1]
    assert f"cannot be read: {reason}" in message


def test_a_table_error_is_shown_to_a_person_and_is_a_value_error() -> None:
    assert issubclass(TableError, QuartetError)
    assert issubclass(TableError, ValueError)
