"""`broker evaluate`: what it tells of each predictor's answers."""

import json
import math
from pathlib import Path

import pytest
from support.evaluation import LASTING, MINE, said, table

from broker.__main__ import main


def test_a_summary_tells_the_sustained_alarm_and_the_shares_around_it(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Nine in a row are not sustained; ten are.
    firsts = [0.0] * 11 + [1.0] * 9 + [0.0] * 20 + [1.0] * 10 + [0.0] * 10
    text = said(capsys, table(workplace / "a.csv", firsts), "--predictor", "mine:Above")
    assert "rows              60\n" in text
    assert "True              19 (31.7%)\n" in text
    assert "from row 40," in text
    assert "True before it    22.5%\n" in text
    assert "True from it on   50.0%\n" in text
    assert "state             none" in text
    assert "row 19: asked" in text
    assert "row 20: asked" not in text
    assert "and 40 more explanations" in text


def test_no_sustained_alarm_is_said(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, table(workplace / "a.csv", [1.0] * 9), "--predictor", "mine:Above")
    assert "sustained alarm   none: never 10 True in a row" in text
    text = said(capsys, table(workplace / "one.csv", [1.0]), "--predictor", "mine:Above")
    assert "rows              1\n" in text


def test_the_answers_are_written_by_row(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(workplace / "a.csv", [0.0, 1.0, math.nan, 0.6])
    said(capsys, path, "--predictor", "mine:Above", "--bare", "--overwrite", "--out", "p.csv")
    assert (workplace / "p.csv").read_text() == "0,0\n1,1\n2,0\n3,1\n"


def test_a_value_is_rounded_as_the_wire_rounds_it(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(workplace / "a.csv", [0.5 + 1e-12])
    said(capsys, path, "--predictor", "mine:Above", "--bare", "--overwrite", "--out", "p.csv")
    assert (workplace / "p.csv").read_text() == "0,0\n"


def test_the_options_of_a_configuration_go_to_its_own_black_box(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(workplace / "a.csv", [0.6])
    config = workplace / "broker.toml"
    config.write_text('[predictor]\nuse = "mine:Above"\noptions = {at = 0.7}\n')
    for more, answers in [
        (["--config", str(config)], "0,0\n"),
        (["--config", str(config), "--predictor", "mine:Above"], "0,0\n"),
        (["--predictor", "mine:Above"], "0,1\n"),
        (["--config", str(config), "--predictor", "limits"], "0,1\n"),
    ]:
        said(capsys, path, "--bare", "--overwrite", "--out", "p.csv", *more)
        assert (workplace / "p.csv").read_text() == answers


def test_files_and_black_boxes_are_compared_in_a_table(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [table(workplace / name, [1.0] * rows) for name, rows in [("a.csv", 12), ("b.csv", 5)]]
    text = said(capsys, *files, "--predictor", "mine:Above", "--predictor", "parity")
    head, *lines = [line.split() for line in text.splitlines()]
    assert head[:4] == ["file", "predictor", "rows", "True"]
    told = [(Path(line[0]).name, *line[1:5]) for line in lines]
    assert told == [
        ("a.csv", "mine:Above", "12", "100.0%", "0"),
        ("a.csv", "parity", "12", "50.0%", "none"),
        ("b.csv", "mine:Above", "5", "100.0%", "none"),
        ("b.csv", "parity", "5", "60.0%", "none"),
    ]


def test_rows_are_told_with_their_time_where_the_recording_has_one(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "lasting.py").write_text(LASTING)
    gap_s = 3600
    rows = [f"{1000 + row * 2 + (row > 70) * gap_s},1,2,3,4\n" for row in range(80)]
    (workplace / "a.csv").write_text("time,a,b,c,d\n" + "".join(rows))
    text = said(capsys, "a.csv", "--predictor", "lasting:Lasting")
    assert "row 39: over the last 40 rows (80 s)\n" in text
    assert "row 79: over the last 80 rows (2 min)\n" in text
    text = said(capsys, table(workplace / "b.csv", [0.0] * 40), "--predictor", "lasting:Lasting")
    assert text.endswith("row 39: over the last 40 rows\n")


def test_the_result_is_given_to_a_program(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(workplace / "a.csv", [0.0] * 5 + [1.0] * 10)
    (told,) = json.loads(said(capsys, path, "--predictor", "mine:Above", "--json"))
    assert told["file"] == path
    assert (told["rows"], told["true"], told["first_sustained"]) == (15, 10, 5)
    assert told["explanations"][0] == {"row": 0, "text": "asked"}
    assert told["problem"] is None
    assert "judgement" not in told
    assert main(["evaluate", "absent.csv", "--json"]) == 1
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["problem"][:10]) == (0, "absent.csv")


def test_a_warm_up_that_is_not_over_is_not_taken_for_health(
    workplace: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = workplace / "short.csv"
    short.write_text("".join(dataset.read_text().splitlines(keepends=True)[:299]))
    assert "warm-up           the learning phase did not end" in said(capsys, str(short))
    assert "warm-up" not in said(capsys, str(dataset))
    assert "warm-up" in said(capsys, str(short), str(short)).splitlines()[1].split()


def test_what_is_said_is_shown_as_one_line(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "mine.py").write_text(
        MINE.replace('"asked"', '"a\\nrow 9: \\x1b[31m" + "x" * 999')
    )
    text = said(capsys, table(workplace / "a.csv", [0.0]), "--predictor", "mine:Above")
    assert text.splitlines()[-1].startswith("row 0: a row 9:  [31mxxx")
    assert len(text.splitlines()[-1]) < 520
