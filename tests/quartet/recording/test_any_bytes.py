"""Whatever the bytes are, and how many: rows or a refusal, in little memory."""

import os
import re
import threading
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.processes import PATIENCE_S
from support.recordings import PACKERS, Dialect, dialects, many, read, read_bytes, tables

from quartet.channels import CHANNELS, Values
from quartet.recording import MAX_LINE_BYTES


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recording") / "samples.csv"


# Whatever the bytes

alphabet = st.sampled_from("0123456789.,;|\t\"'\n\r eE+-_naifxid:/#\0\ufeff")
texts = st.text(alphabet, max_size=300).map(str.encode)


def assert_rows_or_an_error(path: Path, raw: bytes) -> None:
    for columns in ((), ("1",)):
        rows, message, _ = read_bytes(path, raw, *columns)
        assert all(len(row) == CHANNELS and {type(v) for v in row} == {float} for row in rows)
        assert not message or re.match(rf"{re.escape(str(path))}: \S", message)


@settings(many, max_examples=300)
@given(st.binary(max_size=200) | texts)
def test_any_bytes_give_rows_or_a_table_error(path: Path, raw: bytes) -> None:
    assert_rows_or_an_error(path, raw)


@settings(many, max_examples=150)
@given(dialects(), tables, st.data())
def test_any_damage_to_a_table_gives_rows_or_a_table_error(
    path: Path, dialect: Dialect, table: list[Values], data: st.DataObject
) -> None:
    raw = dialect.encode(table)
    at = data.draw(st.integers(0, len(raw)))
    lost = data.draw(st.integers(0, 3))
    damage = data.draw(st.binary(max_size=4) | texts)
    assert_rows_or_an_error(path, raw[:at] + damage + raw[at + lost :])


@pytest.mark.parametrize("kind", PACKERS)
def test_damaged_packed_files_give_rows_or_a_table_error(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    raw = PACKERS[kind](b"1,2,3,4\n" * 100)
    for at in range(len(raw)):
        assert_rows_or_an_error(path, raw[:at])
        assert_rows_or_an_error(path, raw[:at] + b"\xa5" + raw[at + 1 :])


# Size


def test_a_line_may_be_as_long_as_the_bound_and_no_longer(path: Path) -> None:
    line = b"1,2,3," + b"4".rjust(MAX_LINE_BYTES - 7) + b"\n"
    assert read_bytes(path, line)[:2] == ([(1.0, 2.0, 3.0, 4.0)], "")
    rows, message, _ = read_bytes(path, b"1,2,3,4\n " + line)
    assert rows == [(1.0, 2.0, 3.0, 4.0)]
    assert message.startswith(f"{path}: line 2: longer than {MAX_LINE_BYTES} bytes")


@pytest.mark.parametrize("begin", [b"", b"1,2,3,4\n" * 1000])
def test_100_mb_without_a_line_end_fail_in_little_memory(begin: bytes, tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(begin)
    os.truncate(path, 100 * 1024**2)
    tracemalloc.start()
    try:
        _, message, _ = read(path)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert f"longer than {MAX_LINE_BYTES} bytes" in message
    assert peak_bytes < 16 * 1024**2


def test_a_pipe_is_read_once_and_no_further_than_a_line_that_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "endless"
    os.mkfifo(path)

    def write_for_ever() -> None:
        with path.open("wb", buffering=0) as pipe:
            try:
                pipe.write(b"1,2,3,4\n" * 50)
                while True:
                    pipe.write(b"5," * 2048)
            except BrokenPipeError:
                pass

    writer = threading.Thread(target=write_for_ever, name="writer", daemon=True)
    writer.start()
    rows, message, _ = read(path)
    writer.join(PATIENCE_S)
    assert not writer.is_alive()
    assert rows == [(1.0, 2.0, 3.0, 4.0)] * 50
    assert message.startswith(f"{path}: line 51: longer than")
