"""The file of predictions, byte for byte."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.channels import as_float32
from quartet.errors import SettingsError
from quartet.predictions import HEADER, Existing, PredictionFile, Target

many = settings(derandomize=True, deadline=None, max_examples=200)

AT_NS = 1_764_405_123_000_456_789
VALUES = as_float32((0.1, -2.5, math.nan, 1e-30))
ROW = "7,2025-11-29T08:32:03.000456Z,0.1,-2.5,nan,1e-30,1\n"


def written(target: Target, *ids: int, at_ns: int | None = AT_NS) -> str:
    target.check()
    with PredictionFile(target, at_once=False) as file:
        for id_ in ids:
            file.write(id_, at_ns, VALUES, prediction=True)
    return target.path.read_text()


def test_a_line_has_id_time_values_and_prediction_under_a_header(tmp_path: Path) -> None:
    assert written(Target(tmp_path / "out.csv"), 7) == HEADER + ROW


def test_a_time_that_is_not_known_is_empty(tmp_path: Path) -> None:
    text = written(Target(tmp_path / "out.csv"), 7, at_ns=None)
    assert text.splitlines()[1].startswith("7,,0.1,")


def test_a_bare_file_has_id_and_prediction_alone(tmp_path: Path) -> None:
    assert written(Target(tmp_path / "out.csv", is_bare=True), 0, 2**31 - 1) == (
        "0,1\n2147483647,1\n"
    )


@many
@given(st.floats(width=32))
def test_a_value_reads_back_equal(tmp_path_factory: pytest.TempPathFactory, value: float) -> None:
    target = Target(tmp_path_factory.getbasetemp() / "value.csv", existing=Existing.OVERWRITE)
    with PredictionFile(target, at_once=False) as file:
        file.write(0, None, (value, 0.0, 0.0, 0.0), prediction=False)
    (read, *_) = as_float32([float(target.path.read_text().splitlines()[1].split(",")[2])] * 4)
    assert read == value or math.isnan(read) is math.isnan(value) is True


@pytest.mark.parametrize("is_bare", [True, False])
def test_at_once_a_line_is_there_before_the_next(tmp_path: Path, *, is_bare: bool) -> None:
    path = tmp_path / "out.csv"
    with PredictionFile(Target(path, is_bare=is_bare), at_once=True) as file:
        for row in range(3):
            file.write(row, AT_NS, VALUES, prediction=True)
            assert path.read_text().count("\n") == row + 2 - is_bare


def test_a_file_that_exists_stays_unless_it_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("precious")
    with pytest.raises(SettingsError, match=r"exists already: give --overwrite .* --append"):
        Target(path).check()
    with pytest.raises(FileExistsError):
        PredictionFile(Target(path), at_once=True)
    assert path.read_text() == "precious"
    assert written(Target(path, existing=Existing.OVERWRITE), 7) == HEADER + ROW


@pytest.mark.parametrize("is_bare", [True, False])
@pytest.mark.parametrize("torn", ["", "8", "8,", "8,2025-11", "\0" * 5000, "\0\n\0\n8,1,"])
def test_a_file_is_continued_behind_its_last_whole_line(
    tmp_path: Path, torn: str, *, is_bare: bool
) -> None:
    target = Target(tmp_path / "out.csv", is_bare, Existing.APPEND)
    first = written(target, *range(5))
    target.path.write_text(first + torn)
    text = written(target, 8, 9)
    assert text.startswith(first)
    assert text.count("\n") == first.count("\n") + 2
    assert [line.split(",")[0] for line in text.splitlines()[-2:]] == ["8", "9"]
    assert text.count("id,time") == (not is_bare)


@pytest.mark.parametrize("torn", ["", "id,ti", HEADER, HEADER + "0,20"])
def test_a_file_that_was_torn_in_its_first_lines_is_begun_again(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "out.csv"
    path.write_text(torn)
    assert written(Target(path, existing=Existing.APPEND), 7) == HEADER + ROW


@pytest.mark.parametrize("is_bare", [True, False])
@pytest.mark.parametrize("other", ["a,b\n1,2\n", "x\n" * 50_000, HEADER, "3,1\n", "\n", "precious"])
def test_a_file_of_something_else_is_not_continued(
    tmp_path: Path, other: str, *, is_bare: bool
) -> None:
    if other == ("3,1\n" if is_bare else HEADER):
        return  # it is not of something else
    path = tmp_path / "out.csv"
    path.write_text(other)
    with pytest.raises(SettingsError, match="cannot be continued: its lines are not id,"):
        Target(path, is_bare, Existing.APPEND).check()
    assert path.read_text() == other


@pytest.mark.parametrize("is_bare", [True, False])
@pytest.mark.parametrize("more", ["my notes\n", "8,1,my note\n" * 100, "8,1\r\n"])
def test_whole_lines_of_something_else_are_not_cut_off(
    tmp_path: Path, more: str, *, is_bare: bool
) -> None:
    target = Target(tmp_path / "out.csv", is_bare, Existing.APPEND)
    first = written(target, *range(5))
    target.path.write_bytes((first + more).encode())
    with pytest.raises(SettingsError, match="its last line is not a prediction"):
        target.check()
    assert target.path.read_bytes() == (first + more).encode()


def test_an_end_that_is_damaged_as_a_whole_is_not_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text(HEADER + ROW + "\0" * 100_000)
    with pytest.raises(SettingsError, match="its end is damaged"):
        Target(path, existing=Existing.APPEND).check()


def test_what_is_no_file_is_written_as_it_is() -> None:
    for existing in Existing:
        target = Target(Path("/dev/null"), existing=existing)
        target.check()
        PredictionFile(target, at_once=True).close()


def test_a_file_that_cannot_be_made_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        PredictionFile(Target(tmp_path / "none" / "out.csv"), at_once=True)
