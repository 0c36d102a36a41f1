import math
import os
import re
import struct
import threading
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.processes import PATIENCE_S

from quartet.errors import QuartetError, TableError
from quartet.table import CHANNELS, FLOAT32_MAX, MAX_LINE_BYTES, TableReader, Values

many = settings(derandomize=True, deadline=None, max_examples=80)

BOM = b"\xef\xbb\xbf"
ID_NAMES = ("id", "ID", " Sample_Id ")
TIME_NAMES = ("timestamp", "Time", "datetime", "sampled_at")
VALUE_NAMES = ("sensor1", "sensor 2", "x", "Bearing.Temp", "\N{DEGREE SIGN}C", "a-b", "v_4")
TIMES = ("2024-05-01T12:00:00Z", "2024-05-01 12:00:00.5+02:00", "2024-05-01", "1714564800.25")


@dataclass(frozen=True)
class Form:
    """One way to write a table."""

    columns: tuple[str, ...]  # of "id", "time", "value"
    names: tuple[str, ...] | None
    delimiter: str
    newline: str
    bom: bool

    def line(self, cells: Sequence[str]) -> str:
        return self.delimiter.join(cells)

    def encode(self, lines: Sequence[str], *, last_ended: bool = True) -> bytes:
        text = self.newline.join(lines) + (self.newline if last_ended else "")
        return (BOM if self.bom else b"") + text.encode()


@dataclass(frozen=True)
class Table:
    """A table in some form: its lines, and the rows that they mean."""

    form: Form
    lines: tuple[str, ...]
    rows: tuple[Values, ...]


@st.composite
def forms(draw: st.DrawFn) -> Form:
    columns = ["value"] * CHANNELS
    has_header = draw(st.booleans())
    if has_header and draw(st.booleans()):
        columns.insert(draw(st.integers(0, len(columns))), "time")
    if draw(st.booleans()):
        columns.insert(draw(st.integers(0, len(columns))) if has_header else 0, "id")
    names = None
    if has_header:
        values = iter(draw(st.permutations(VALUE_NAMES)))
        by_kind = {"id": st.sampled_from(ID_NAMES), "time": st.sampled_from(TIME_NAMES)}
        names = tuple(next(values) if c == "value" else draw(by_kind[c]) for c in columns)
    return Form(
        tuple(columns),
        names,
        draw(st.sampled_from(",;\t")),
        draw(st.sampled_from(["\n", "\r\n"])),
        draw(st.booleans()),
    )


def written(value: float) -> list[str]:
    """The ways to write one value."""
    if math.isnan(value):
        return ["", "nan", "NaN", "-nan"]
    if math.isinf(value):
        sign = "-" if value < 0 else ""
        return [f"{sign}inf", f"{sign}Infinity", f"{sign}INF"]
    return [repr(value), f"{value:+.17g}", f"{value:.17e}", f"{value:.17E}"]


def cells_of(texts: Sequence[str]) -> st.SearchStrategy[str]:
    """Cells with one of the texts."""
    return st.sampled_from(
        [c for t in texts for c in (t, f" {t}", f"{t}  ", f'"{t}"', f'" {t} "')],
    )


@st.composite
def tables(draw: st.DrawFn, least_rows: int = 1) -> Table:
    form = draw(forms())
    rows = draw(
        st.lists(st.tuples(*[st.floats(width=32)] * CHANNELS), min_size=least_rows, max_size=5)
    )
    blank = st.sampled_from(["", "", "", " "])
    lines: list[str] = []
    if form.names:
        lines.append(form.line([draw(cells_of([name])) for name in form.names]))
    for id_, row in enumerate(rows):
        values = iter(row)
        others = {"id": [str(id_), f"{id_:06d}"], "time": TIMES}
        cells = [
            draw(cells_of(others[column] if column in others else written(next(values))))
            for column in form.columns
        ]
        if id_ == 0 and not form.names and "id" in form.columns and not cells[-1].strip('" '):
            cells[-1] = "nan"  # else refused: the separator may end the lines
        lines += [""] * draw(st.integers(0, 1)) + [form.line(cells)]
    return Table(form, tuple(line or draw(blank) for line in lines), tuple(rows))


@pytest.fixture(scope="module")
def csv_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("table") / "samples.csv"


def read(path: Path) -> tuple[list[Values], str]:
    """The rows that were given, and the message of the error that ended them, if any."""
    rows: list[Values] = []
    try:
        with TableReader(path) as table:
            rows.extend(iter(table))
    except TableError as error:
        return rows, str(error)
    return rows, ""


def read_bytes(path: Path, raw: bytes) -> tuple[list[Values], str]:
    path.write_bytes(raw)
    return read(path)


def bits(rows: Sequence[Values]) -> list[bytes]:
    """Rows as float32, where every NaN is the same, and 0.0 is not -0.0."""
    return [struct.pack("<4f", *(math.nan if math.isnan(v) else v for v in row)) for row in rows]


# What is read back


@many
@given(tables(), st.booleans())
def test_rows_written_in_any_form_are_read_back_equal(
    csv_path: Path, table: Table, last_ended: bool
) -> None:
    rows, message = read_bytes(csv_path, table.form.encode(table.lines, last_ended=last_ended))
    assert message == ""
    assert bits(rows) == bits(table.rows)


@many
@given(tables(least_rows=2), st.data())
def test_a_cut_anywhere_leaves_the_rows_before_it(
    csv_path: Path, table: Table, data: st.DataObject
) -> None:
    raw = table.form.encode(table.lines)
    rows, _ = read_bytes(csv_path, raw[: data.draw(st.integers(0, len(raw)))])
    whole = rows[:-1]  # of the last, a part may be a number too
    assert bits(whole) == bits(table.rows[: len(whole)])


def test_an_empty_cell_is_nan_on_any_channel(csv_path: Path) -> None:
    rows, message = read_bytes(csv_path, b"0,,2,3,nan\n1, ,,,\n")
    assert message == ""
    assert bits(rows) == bits([(math.nan, 2.0, 3.0, math.nan), (math.nan,) * 4])


def test_a_row_of_empty_cells_can_be_first(csv_path: Path) -> None:
    rows, message = read_bytes(csv_path, b",,,\n1,2,3,4\n")
    assert message == ""
    assert bits(rows) == bits([(math.nan,) * 4, (1.0, 2.0, 3.0, 4.0)])


def test_the_greatest_float32_is_read(csv_path: Path) -> None:
    rows, _ = read_bytes(csv_path, f"{FLOAT32_MAX!r},{-FLOAT32_MAX!r},0,-0.0\n".encode())
    assert bits(rows) == bits([(FLOAT32_MAX, -FLOAT32_MAX, 0.0, -0.0)])


def test_the_file_is_closed_with_the_reader(csv_path: Path) -> None:
    csv_path.write_bytes(b"1,2,3,4\n")
    with TableReader(csv_path) as table:
        rows = iter(table)
        next(rows)
    with pytest.raises(ValueError, match="closed"):
        next(rows)


# What is refused, cell by cell

BAD = {
    "value": [
        *("x", "1_000", "1,5", "0x10", "1.2.3", "--1", "1 2", "1e", "true", "\ufeff1", "1\0"),
        *("1e39", "-3.5e38", "3.4028236e38", "1e400", "-1e309", "9" * 39, "1" * 400),
    ],
    "id": ["-1", "1.0", "+1", "x", "", "1_0", "0x1", "nan", "\N{ARABIC-INDIC DIGIT ONE}"],
    "time": ["yesterday", "", "2024-13-01", "2024-02-30T00:00:00", "12:00", "1,5"],
}


@many
@given(tables(least_rows=0), st.data())
def test_a_bad_cell_names_file_line_and_column_after_the_rows_before_it(
    csv_path: Path, table: Table, data: st.DataObject
) -> None:
    column = data.draw(st.integers(0, len(table.form.columns) - 1))
    bad = data.draw(st.sampled_from(BAD[table.form.columns[column]]))
    good = {"id": "7", "time": "2024-05-01", "value": "1"}
    cells = [good[name] for name in table.form.columns]
    cells[column] = f'"{bad}"'
    lines = [*table.lines, table.form.line(cells), "1,2,3,4"]
    rows, message = read_bytes(csv_path, table.form.encode(lines))
    assert bits(rows) == bits(table.rows)
    shown = repr(bad if len(bad) <= 40 else bad[:40] + "...")
    assert message.startswith(f"{csv_path}: line {len(lines) - 1}, column {column + 1}: {shown} ")


@many
@given(tables(), st.integers(1, 9))
def test_a_row_of_another_number_of_columns_is_refused(
    csv_path: Path, table: Table, count: int
) -> None:
    columns = len(table.form.columns)
    if count == columns:
        count += 1
    lines = [*table.lines, table.form.line(["1"] * count)]
    rows, message = read_bytes(csv_path, table.form.encode(lines))
    assert bits(rows) == bits(table.rows)
    assert message == f"{csv_path}: line {len(lines)}: expected {columns} columns, got {count}"


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("x", "'x' is not a number"),
        ('"1,5"', "'1,5' is not a number: write the decimal point as '.'"),
        ("1_0", "'1_0' is not a number"),
        ("1e39", "'1e39' is too large for a 32-bit float"),
        ("x" * 50, f"'{'x' * 40}...' is not a number"),
    ],
)
def test_a_bad_value_is_said_with_its_reason(csv_path: Path, cell: str, reason: str) -> None:
    _, message = read_bytes(csv_path, f"0,1,2,3,4\n1,1,{cell},3,4\n".encode())
    assert message == f"{csv_path}: line 2, column 3: {reason}"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"id,a,b,c,d\n-1,1,2,3,4\n", "line 2, column 1: '-1' is not an id"),
        (b"a,b,c,d,time\n1,2,3,4,noon\n", "line 2, column 5: 'noon' is not a timestamp"),
    ],
)
def test_a_bad_id_or_timestamp_is_said_as_such(csv_path: Path, raw: bytes, reason: str) -> None:
    _, message = read_bytes(csv_path, raw)
    assert message.startswith(f"{csv_path}: {reason}")


@pytest.mark.parametrize(
    ("raw", "reason", "given_rows"),
    [
        (b"", "line 1: the file has no rows", 0),
        (BOM, "line 1: the file has no rows", 0),
        (b"\n \r\n\n", "line 4: the file has no rows", 0),
        (b"a,b,c,d\n", "line 2: the file has no rows", 0),
        (b"id,a,b,c,d", "line 2: the file has no rows", 0),
        (b"1,2,3\n", "line 1: expected 4 columns, or 5 with an id first, got 3", 0),
        (b"0,1,2,3,4,5\n", "line 1: expected 4 columns, or 5 with an id first, got 6", 0),
        (b"a,b,c\n1,2,3\n", "line 1: expected four differently named sensor columns", 0),
        (b"a,b,c,d,e\n", "line 1: expected four differently named sensor columns", 0),
        (b"a,b,c,A\n1,2,3,4\n", "line 1: expected four differently named sensor columns", 0),
        (b"1 2 3 4\n", "line 1: expected 4 columns, or 5 with an id first, got 1", 0),
        (b"1,2,3,4,\n5,6,7,8,\n", "line 1, column 5: empty in the first line", 0),
        (b'1,2,3,4," "\n', "line 1, column 5: empty in the first line", 0),
        (b"0,5;0,6;0,7;0,8\n1;2;3;4\n", "line 1, column 1: '0,5' is not a number", 0),
        (b"1;2;3;4\n5,6,7,8\n", "line 2: expected 4 columns, got 1", 1),
        (b"1,2,3,4\n" + BOM + b"5,6,7,8\n", "line 2, column 1: '\\ufeff5' is not a number", 1),
        (b"1,2,3,4\n\n5,6", "line 3: expected 4 columns, got 2", 1),
        (b'1,2,3,4\n5,6,7,"8', "line 2: not a CSV line: ", 1),
        (b'1,2,3,4\n5,6,7,"8"9\n', "line 2: not a CSV line: ", 1),
        (b"1,2,3,4\r5,6,7,8\r", "line 1: not a CSV line: ", 0),
        (b"1,2,3,4\n1,2,\xb0,4\n", "line 2, column 3: byte 0xb0 is not UTF-8", 1),
        ("1,2,3,4\n".encode("utf-16"), "line 1, column 1: byte 0xff is not UTF-8", 0),
        (b"1;2;3;4\n1;2;3;\xff\n", "line 2, column 4: byte 0xff is not UTF-8", 1),
        (b"1,2,\xff,4\n", "line 1, column 3: byte 0xff is not UTF-8", 0),
        (b"1;2;\xff;4\n", "line 1, column 3: byte 0xff is not UTF-8", 0),
        (b"1\t2\t\xff\t4\n", "line 1, column 3: byte 0xff is not UTF-8", 0),
        (BOM + b"1;2;\xff;4\n", "line 1, column 3: byte 0xff is not UTF-8", 0),
        (b"\x89PNG\r\n\x1a\n\0\0\0\r", "line 1, column 1: byte 0x89 is not UTF-8", 0),
        (b"\x1f\x8b\x08\0", "line 1, column 1: byte 0x8b is not UTF-8", 0),
    ],
)
def test_what_is_no_table_is_refused_with_file_and_line(
    csv_path: Path, raw: bytes, reason: str, given_rows: int
) -> None:
    rows, message = read_bytes(csv_path, raw)
    assert len(rows) == given_rows
    assert message.startswith(f"{csv_path}: {reason}")


def test_a_row_of_empty_cells_between_tabs_is_no_blank_line(csv_path: Path) -> None:
    rows, message = read_bytes(csv_path, b"1\t2\t3\t4\n\t\t\t\n\n5\t6\t7\t8\n")
    assert message == ""
    assert bits(rows) == bits([(1.0, 2.0, 3.0, 4.0), (math.nan,) * 4, (5.0, 6.0, 7.0, 8.0)])


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file that fails to be read")
def test_a_file_that_fails_while_it_is_read_is_refused() -> None:
    rows, message = read(Path("/proc/self/mem"))
    assert rows == []
    assert message == "/proc/self/mem: cannot be read: Input/output error"


def test_a_path_that_cannot_be_one_is_refused() -> None:
    rows, message = read(Path("a\0b"))
    assert rows == []
    assert message.startswith(r"a\x00b: cannot be read: ")


@pytest.mark.parametrize(("name", "reason"), [("none.csv", "No such file"), (".", "Is a dir")])
def test_what_cannot_be_opened_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    rows, message = read(tmp_path / name)
    assert rows == []
    assert message.startswith(f"{tmp_path / name}: cannot be read: {reason}")


def test_a_table_error_is_shown_to_a_person_and_is_a_value_error() -> None:
    assert issubclass(TableError, QuartetError)
    assert issubclass(TableError, ValueError)


# Whatever the bytes

alphabet = st.sampled_from("0123456789.,;\t\"'\n\r eE+-_naifxid\0\ufeff")
texts = st.text(alphabet, max_size=200).map(str.encode)


def assert_rows_or_an_error(path: Path, raw: bytes) -> None:
    rows, message = read_bytes(path, raw)
    assert all(len(row) == CHANNELS and {type(v) for v in row} == {float} for row in rows)
    if message:
        assert re.match(rf"{re.escape(str(path))}: line \d+(, column \d+)?: \S", message)
    else:
        assert rows


@settings(many, max_examples=300)
@given(st.binary(max_size=200) | texts)
def test_any_bytes_give_rows_or_a_table_error(csv_path: Path, raw: bytes) -> None:
    assert_rows_or_an_error(csv_path, raw)


@many
@given(tables(), st.data())
def test_any_damage_to_a_table_gives_rows_or_a_table_error(
    csv_path: Path, table: Table, data: st.DataObject
) -> None:
    raw = table.form.encode(table.lines)
    at = data.draw(st.integers(0, len(raw)))
    lost = data.draw(st.integers(0, 3))
    damage = data.draw(st.binary(max_size=4) | texts)
    assert_rows_or_an_error(csv_path, raw[:at] + damage + raw[at + lost :])


# Size


def test_a_line_may_be_as_long_as_the_bound_and_no_longer(csv_path: Path) -> None:
    line = b"1,2,3," + b"4".rjust(MAX_LINE_BYTES - 7) + b"\n"
    assert read_bytes(csv_path, line) == ([(1.0, 2.0, 3.0, 4.0)], "")
    rows, message = read_bytes(csv_path, b"1,2,3,4\n " + line)
    assert rows == [(1.0, 2.0, 3.0, 4.0)]
    assert message.startswith(f"{csv_path}: line 2: longer than {MAX_LINE_BYTES} bytes")


def test_100_mb_without_a_line_end_fail_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.touch()
    os.truncate(path, 100 * 1024**2)
    tracemalloc.start()
    try:
        rows, message = read(path)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == []
    assert message.startswith(f"{path}: line 1: longer than {MAX_LINE_BYTES} bytes")
    assert peak_bytes < 16 * MAX_LINE_BYTES


def test_no_more_than_the_bound_is_read_of_an_endless_line(tmp_path: Path) -> None:
    path = tmp_path / "endless"
    os.mkfifo(path)
    written_bytes = 0

    def write_for_ever() -> None:
        nonlocal written_bytes
        with path.open("wb", buffering=0) as pipe:
            try:
                pipe.write(b"1,2,3,4\n")
                while True:
                    written_bytes += pipe.write(b"5," * 2048)
            except BrokenPipeError:
                pass

    writer = threading.Thread(target=write_for_ever, name="writer", daemon=True)
    writer.start()
    rows, message = read(path)
    writer.join(PATIENCE_S)
    assert not writer.is_alive()
    assert rows == [(1.0, 2.0, 3.0, 4.0)]
    assert message.startswith(f"{path}: line 2: longer than")
    pipe_bytes = buffer_bytes = 64 * 1024
    assert written_bytes <= MAX_LINE_BYTES + pipe_bytes + buffer_bytes
