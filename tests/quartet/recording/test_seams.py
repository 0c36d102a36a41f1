"""Loggers that are started again: what they leave between two rows."""

from pathlib import Path

import pytest

from quartet.errors import TableError
from quartet.recording import Choice, Recording

BOOT = "ets Jul 29 2019 12:21:46\nrst:0x1 (POWERON_RESET)\nWiFi connecting...\nbar,temp\n"
WANTED = Choice(("a", "b", "c"))


def rows(first_ms: int, count: int) -> str:
    return "".join(
        f"{first_ms + 250 * n},{1 + n % 3 / 4},{0.5 + n % 5 / 8},{20 + n % 7 / 2}\n"
        for n in range(count)
    )


def read(
    path: Path, text: str, choice: Choice = WANTED
) -> tuple[list[float], list[int], list[str]]:
    """Seconds from the first row, lines, and remarks."""
    path.write_text("ms,a,b,c\n" + text)
    with Recording(path, choice) as recording:
        found = list(recording)
        first_ns = found[0].at_ns or 0
        times = [((row.at_ns or 0) - first_ns) / 1e9 for row in found]
        return times, [row.line for row in found], recording.remarks


@pytest.mark.parametrize(
    "between", ["", BOOT, "475492,4.1" + BOOT, "ms,a,b,c\n", "\n\n" + BOOT + "\n"]
)
def test_a_clock_that_starts_again_goes_on_and_what_was_written_between_is_left_out(
    tmp_path: Path, between: str
) -> None:
    path = tmp_path / "esp.csv"
    text = rows(400, 40) + between + rows(380, 40) + between + rows(390, 20)
    times, lines, remarks = read(path, text)
    assert times == [0.25 * n for n in range(100)]
    assert len(set(lines)) == 100
    told = "\n".join(remarks)
    assert told.count("(2 restarts)") == 1
    assert ("what it wrote between two rows is left out" in told) == ("ets" in between)


def test_a_file_may_be_read_again_with_the_same_times(tmp_path: Path) -> None:
    path = tmp_path / "esp.csv"
    path.write_text("ms,a,b,c\n" + rows(400, 40) + BOOT + rows(380, 40))
    with Recording(path, WANTED) as recording:
        assert list(recording) == list(recording)


@pytest.mark.parametrize("stray", ["what is this\n", "1,2\n", BOOT])
def test_without_a_restart_what_is_no_row_stays_an_error(tmp_path: Path, stray: str) -> None:
    path = tmp_path / "esp.csv"
    text = rows(400, 40) + stray + rows(400 + 40 * 250, 40)
    with pytest.raises(TableError, match="line 42: expected 4 columns, got"):
        read(path, text)
    path.write_text("ms,a,b,c\n" + text)
    with Recording(path, WANTED, on_bad=lambda _: None) as recording:
        assert len(list(recording)) == 80


def test_a_file_that_goes_on_as_something_else_is_not_taken_for_a_restart(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="line 42: expected 4 columns, got 1"):
        read(tmp_path / "esp.csv", rows(400, 40) + "nothing\n" * 1000 + rows(380, 40))


def test_a_clock_that_falls_back_a_little_was_not_started_again(tmp_path: Path) -> None:
    choice = Choice(("a", "b", "c"), "ms")
    times, _, remarks = read(tmp_path / "esp.csv", rows(400, 40) + rows(9000, 40), choice)
    assert times[40] == 8.6
    assert not remarks
