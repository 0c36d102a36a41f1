"""The file of predictions, byte for byte."""

from pathlib import Path

import pytest

from quartet.predictions import PredictionFile


@pytest.mark.parametrize("at_once", [True, False])
def test_one_line_for_each_sample_without_a_header(tmp_path: Path, at_once: bool) -> None:
    path = tmp_path / "out.csv"
    path.write_text("what was there before")
    with PredictionFile(path, at_once=at_once) as file:
        file.write(0, False)
        file.write(2**31 - 1, True)
    assert path.read_bytes() == b"0,0\n2147483647,1\n"


def test_at_once_a_line_is_there_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with PredictionFile(path, at_once=True) as file:
        for row in range(3):
            file.write(row, True)
            assert path.read_text().splitlines() == [f"{n},1" for n in range(row + 1)]


def test_a_file_that_cannot_be_made_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        PredictionFile(tmp_path / "none" / "out.csv", at_once=True)
