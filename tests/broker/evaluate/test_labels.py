"""`broker evaluate`: answers judged by labels and intervals."""

import json
import math
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.evaluation import refused, said, table

from broker.__main__ import main

LABELLED = "a,b,c,d,fault\n" + "".join(
    f"{value},0.5,{row % 7}.25,{row % 5}.5,{label}\n"
    for row, (value, label) in enumerate(zip([0, 1, 0, 0, 1, 1, 0], "0001100", strict=True))
)


def judged(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    text = said(capsys, *arguments, "--predictor", "mine:Above", "--columns", "a,b,c,d")
    return text.splitlines()


def test_predictions_are_judged_by_a_column_of_labels(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "a.csv").write_text(LABELLED)
    lines = judged(capsys, "a.csv", "--labels", "fault")
    assert "precision         33.3% of the rows that are True are faulty" in lines
    assert "recall            50.0% of the faulty rows are True" in lines
    assert "F1                0.400" in lines
    assert "false alarm rate  40.0% of the rows without a fault are True" in lines
    assert "false alarms      1" in lines
    assert "faults found      1 of 1" in lines
    assert "rows 3-4          True after 1 row" in lines


def test_intervals_say_the_same_as_labels(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "a.csv").write_text(LABELLED)
    (workplace / "faults.csv").write_text("from,to\n3,4\n")
    by_label = judged(capsys, "a.csv", "--labels", "fault", "--json")
    by_interval = judged(capsys, "a.csv", "--intervals", "faults.csv", "--json")
    one, other = (json.loads("\n".join(each))[0] for each in (by_label, by_interval))
    assert one["judgement"] == other["judgement"]
    assert one["judgement"]["faults"] == [{"first": 3, "last": 4, "delay_rows": 1, "delay_s": None}]


def test_times_give_delays_in_seconds_and_false_alarms_a_day(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [line.rpartition(",")[0] for line in LABELLED.splitlines()[1:]]
    lines = [f"2026-01-05 {hour:02}:00:00,{row}\n" for hour, row in enumerate(rows)]
    (workplace / "a.csv").write_text("time,a,b,c,d\n" + "".join(lines))
    (workplace / "faults.csv").write_text("2026-01-05 03:00,2026-01-05 04:00\n")
    told = judged(capsys, "a.csv", "--intervals", "faults.csv")
    assert "false alarms      1, 4 a day" in told
    assert "rows 3-4          True after 1 row, 1:00:00" in told


def test_several_recordings_are_judged_one_by_one_and_together(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.csv", "b.csv"):
        (workplace / name).write_text(LABELLED)
    lines = judged(capsys, "a.csv", "b.csv", "--labels", "fault")
    cells = [line.split() for line in lines[lines.index("") + 2 :]]
    assert [each[0] for each in cells] == ["a.csv", "b.csv", "all"]
    assert [each[2:9] for each in cells] == [
        ["33.3%", "50.0%", "0.400", "40.0%", "1", "of", "1"],
        ["33.3%", "50.0%", "0.400", "40.0%", "1", "of", "1"],
        ["33.3%", "50.0%", "0.400", "40.0%", "2", "of", "2"],
    ]


def test_several_predictors_on_one_recording_name_it_in_no_line_and_have_no_sum(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "a.csv").write_text(LABELLED)
    lines = judged(capsys, "a.csv", "--labels", "fault", "--predictor", "parity")
    assert [line.split()[0] for line in lines if line] == [
        *("predictor", "parity", "mine:Above"),
        *("predictor", "parity", "mine:Above"),
    ]


def test_a_refusal_repeats_the_whole_command_with_the_columns(workplace: Path) -> None:
    rows = [
        ",".join(f"{math.sin(n * n + k):.3f}" for k in range(5)) + f",{n // 30}" for n in range(40)
    ]
    (workplace / "my file.csv").write_text("a,b,c,d,e,fault\n" + "\n".join(rows) + "\n")
    given = "evaluate 'my file.csv' --out p.csv --labels fault"
    run = [sys.executable, "-m", "broker"]
    refused = subprocess.run(
        [*run, *shlex.split(given)], capture_output=True, text=True, check=False, cwd=workplace
    )
    line = refused.stderr.splitlines()[-1]
    assert line == f"Say which are sensors, for example: broker {given} --columns a,b,c,d"
    proposed = shlex.split(line.partition(": ")[2])[1:]
    done = subprocess.run(
        [*run, *proposed], capture_output=True, text=True, check=True, cwd=workplace
    )
    assert "recall" in done.stdout
    assert len((workplace / "p.csv").read_text().splitlines()) == 41


def test_a_label_that_says_nothing_is_refused_with_its_line(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "a.csv").write_text(LABELLED.replace("3.5,1\n", "3.5,worn\n"))
    text = refused(
        capsys,
        *(1, "a.csv", "--predictor", "limits", "--columns", "a,b,c,d", "--labels", "fault"),
    )
    assert "a.csv: line 5: label 'worn' is neither a number nor true or false" in text
    assert "no column 'state': there are" in refused(
        capsys, 1, "a.csv", "--columns", "a,b,c,d", "--labels", "state"
    )


def test_each_predictor_gets_its_turn_though_another_one_raises(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "a.csv").write_text(LABELLED.replace("1.5,0", "7.0,0", 1))
    options = ["--columns", "a,b,c,d", "--labels", "fault", "--predictor", "mine:Above"]
    assert main(["evaluate", "a.csv", *options, "--predictor", "limits"]) == 1
    told = capsys.readouterr()
    assert [line.split()[:2] for line in told.out.splitlines()[1:3]] == [
        ["mine:Above", "1"],
        ["limits", "7"],
    ]
    assert "row 1: predictor mine:Above raised RuntimeError: seven" in told.err


def test_an_interval_that_holds_no_row_is_told(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(workplace / "a.csv", [0.0, 1.0, 0.0])
    (workplace / "faults.csv").write_text("1,2\n700,800\n")
    assert main(["evaluate", path, "--predictor", "mine:Above", "--intervals", "faults.csv"]) == 0
    assert "faults.csv: 1 interval holds no row" in capsys.readouterr().err
    text = refused(
        capsys, *(2, path, "--intervals", "faults.csv", "--out", "faults.csv", "--overwrite")
    )
    assert "faults.csv: is an input file, and must not be overwritten" in text


def test_intervals_are_of_one_recording(capsys: pytest.CaptureFixture[str]) -> None:
    text = refused(capsys, 2, "a.csv", "b.csv", "--intervals", "faults.csv")
    assert "--intervals takes one file" in text
