"""What is told of a recording that is read as a whole."""

from pathlib import Path

import pytest

from agent.__main__ import main
from quartet.recording import Choice
from quartet.recording.check import inspect


def row(second: int, first: str = "1") -> str:
    return f"2024-05-01 12:{second // 60:02d}:{second % 60:02d},{first},{second * second % 7},3,4\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.csv"
    seconds = [*range(30), 200, *range(201, 220), 300, 301]
    lines = [row(second) for second in seconds]
    lines[5] = row(5, "oops")
    lines[7] = "2024-05-01 12:00:07,1\n"
    lines[9] = row(9, "NA")
    path.write_text("time,a,b,c,d\n" + "".join(lines))
    return path


def test_rows_bad_cells_span_and_gaps_are_told(path: Path) -> None:
    found = inspect(path, Choice())
    assert found.bad == [
        f"{path}: line 7, column 2: 'oops' is not a number",
        f"{path}: line 9: expected 5 columns, got 2",
    ]
    assert found.texts() == [
        'sensor1 = "a", sensor2 = "b", sensor3 = "c", sensor4 = "d", time = "time"',
        "50 rows, from 2024-05-01 12:00:00 UTC to 2024-05-01 12:05:01 UTC",
        f"{path}: line 11: 'NA' is a failed reading",
        "2 gaps, the longest of 171 s before line 32",
    ]


def test_a_check_fails_for_bad_rows_and_names_ten(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(path.read_text() + "x\n" * 20)
    assert main(["run", "--check", "--simulate", str(path)]) == 2
    out, err = capsys.readouterr()
    assert "source.path: 50 rows, from 2024-05-01 12:00:00 UTC" in out
    assert f"source.path: {path}: line 7, column 2: 'oops' is not a number" in err
    assert "source.path: and 12 more bad rows" in err


def test_a_check_takes_the_columns_as_chosen(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text("time,a,b\n1,2,3\n2,3,1\n")
    assert main(["run", "--check", "--simulate", str(path), "--columns", "b"]) == 0
    said = capsys.readouterr().out
    assert 'sensor1 = "b", sensor2 = none (always 0)' in said


@pytest.mark.parametrize("columns", ["", "a,b,c,d,e", "a,,b"])
def test_columns_are_one_to_four(columns: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["run", "--simulate", "a.csv", "--columns", columns])
    assert raised.value.code == 2
    assert "expected one to four columns" in capsys.readouterr().err


def test_columns_need_a_recording(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--virtual", "--columns", "a"])
    assert "--columns and --time need --simulate" in capsys.readouterr().err


def test_the_columns_can_stand_in_the_configuration(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text("t,a,b\n1,2,3\n2,3,1\n")
    config = tmp_path / "agent.toml"
    source = f'[source]\nkind = "replay"\npath = "{path}"\n'
    config.write_text(source + 'columns = ["b", 2]\ntime = 1\n')
    assert main(["run", "--check", "--config", str(config)]) == 0
    assert 'sensor1 = "b", sensor2 = "a"' in capsys.readouterr().out
    config.write_text(source + "columns = [1, 2, 3, 1, 2]\n")
    assert main(["run", "--check", "--config", str(config)]) == 2
    assert "source.columns: expected one to four columns, got 5" in capsys.readouterr().err


@pytest.mark.parametrize(("pause", "gaps"), [(5, 0), (6, 1)])
def test_a_gap_is_longer_than_five_usual_steps(path: Path, pause: int, gaps: int) -> None:
    seconds = [*range(30), *range(29 + pause, 50)]
    path.write_text("time,a,b,c,d\n" + "".join(map(row, seconds)))
    assert inspect(path, Choice()).gaps == gaps


@pytest.mark.parametrize("form", ["2024-05-01 12:00:{:02d}", "{}"])
def test_rows_that_begin_with_the_newest_one_are_told_with_their_span(
    form: str, path: Path
) -> None:
    seconds = [second for second in range(59, 9, -1) if not 20 < second < 40]
    lines = [f"{form.format(second)},1.5,{second * second % 7},3.5,4.5\n" for second in seconds]
    path.write_text("time (s),a,b,c,d\n" + "".join(lines))
    found = inspect(path, Choice(("a", "b", "c", "d"), "time (s)"))
    ends = [form.format(second) + (" UTC" if ":" in form else " s") for second in (10, 59)]
    assert found.texts()[1:] == [
        f"31 rows, from {ends[0]} to {ends[1]}",
        f"{path}: the newest row comes first: the rows are used in the order of the file",
        "1 gap, the longest of 20 s before line 22",
    ]


def test_a_clock_that_is_set_back_once_is_not_taken_for_rows_that_begin_with_the_newest(
    path: Path,
) -> None:
    path.write_text("time,a,b,c,d\n" + "".join(row(n) for n in [*range(60, 90), *range(10, 40)]))
    assert inspect(path, Choice()).remarks == []
