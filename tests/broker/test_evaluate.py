import json
import math
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from broker.__main__ import main

MINE = """
class Above:
    def __init__(self, at=0.5):
        self.at = at

    def predict(self, sample):
        if sample.values[3] == 7.0:
            raise RuntimeError("seven")
        return sample.values[0] > self.at

    def explain(self):
        return "asked"
"""

ALL = "('agent run --simulate FILE --check' lists all such rows)"


@pytest.fixture(autouse=True)
def _mine(workplace: Path) -> None:
    (workplace / "mine.py").write_text(MINE)


def table(path: Path, firsts: list[float], fourth: float = 0.0) -> str:
    path.write_text("".join(f"{first!r},0,0,{fourth!r}\n" for first in firsts))
    return str(path)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["evaluate", *arguments]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    assert main(["evaluate", *arguments]) == code
    return capsys.readouterr().err


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


LASTING = """
class Lasting:
    rows = 0

    def predict(self, sample):
        self.rows += 1
        return False

    def explain(self):
        return f"over the last {self.rows} rows" if self.rows % 40 == 0 else None

    def statistics(self):
        return {"T2": (3000.0 * (self.rows > 20), 22.0), "shift": (8.2 * (self.rows > 20), 12.0)}
"""


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


def test_a_number_that_is_zero_is_drawn_on_a_linear_axis_and_a_high_one_in_decades(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "lasting.py").write_text(LASTING)
    path = table(workplace / "a.csv", [0.0] * 80)
    said(capsys, path, "--predictor", "lasting:Lasting", "--plot", "p.svg")
    picture = (workplace / "p.svg").read_text()
    assert "<!-- shift -->" in picture
    assert "<!-- 10 -->" in picture
    assert "<!-- $\\mathdefault{10^{3}}$ -->" in picture


@pytest.mark.parametrize("predictor", ["chart", "parity"])
def test_a_picture_is_drawn(
    predictor: str, workplace: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, str(dataset), "--predictor", predictor, "--plot", "p.png")
    assert (workplace / "p.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_names_what_it_shows_and_no_unit_twice(
    workplace: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = "n,Vibration [mm/s],A bearing's temperature at the far end [°C],c,d\n"
    (workplace / "a.csv").write_text(names + dataset.read_text())
    (workplace / "faults.csv").write_text("518,981\n")
    said(capsys, "a.csv", "--intervals", "faults.csv", "--plot", "p.svg")
    picture = (workplace / "p.svg").read_text()  # each text stands in it as a comment
    for text in ("learning phase", "predicted True", "known fault", "limit", "Vibration (mm/s)"):
        assert f"<!-- {text} -->" in picture
    assert "temperature at the" in picture
    assert "far end (°C) -->" in picture
    said(capsys, "a.csv", "--predictor", "parity", "--plot", "plain.svg")
    plain = (workplace / "plain.svg").read_text()
    assert "<!-- predicted True -->" in plain
    assert not any(f"<!-- {text} -->" in plain for text in ("learning phase", "known fault"))


def test_what_was_answered_before_a_row_that_is_none_is_kept(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "a.csv").write_text("1,0,0,0\n1,0,0\n")
    text = refused(
        capsys, 1, "a.csv", "--predictor", "mine:Above", "--bare", "--overwrite", "--out", "p.csv"
    )
    assert text.splitlines()[-1] == f"broker: a.csv: line 2: expected 4 columns, got 3 {ALL}"
    assert (workplace / "p.csv").read_text() == "0,1\n"


def test_what_was_found_up_to_a_bad_row_is_shown_and_the_other_files_follow(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "bad.csv").write_text("1,0,0,0\n1,0,0\n")
    assert main(["evaluate", "bad.csv", "--predictor", "mine:Above"]) == 1
    told = capsys.readouterr()
    assert "rows              1\n" in told.out
    assert "not read          the rest of the file, because of the error\n" in told.out
    good = table(workplace / "good.csv", [1.0] * 12)
    assert main(["evaluate", "bad.csv", "absent.csv", good, "--predictor", "mine:Above"]) == 1
    told = capsys.readouterr()
    assert [line.split()[0] for line in told.out.splitlines()] == ["file", "bad.csv", good]
    assert [line for line in told.err.splitlines() if "sensor1 = " not in line] == [
        f"broker: bad.csv: line 2: expected 4 columns, got 3 {ALL}",
        "broker: absent.csv: cannot be read: No such file or directory",
    ]


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


def test_a_black_box_that_raises_is_named_with_the_row_and_its_own_line(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(workplace / "a.csv", [0.0], fourth=7.0)
    text = refused(capsys, 1, path, "--predictor", "mine:Above")
    assert "a.csv: row 0: predictor mine:Above raised RuntimeError: seven (mine.py, line 8)" in text


def test_a_warm_up_that_is_not_over_is_not_taken_for_health(
    workplace: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = workplace / "short.csv"
    short.write_text("".join(dataset.read_text().splitlines(keepends=True)[:299]))
    assert "warm-up           the learning phase did not end" in said(capsys, str(short))
    assert "warm-up" not in said(capsys, str(dataset))
    assert "warm-up" in said(capsys, str(short), str(short)).splitlines()[1].split()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("bad = True", "row 0: predictor odd:Box raised TypeError: predict() returned None"),
        ("def explain(self): 1 / 0", "row 0: predictor odd:Box raised ZeroDivisionError"),
        ("def statistics(self): return {'a': 3}", "row 0: predictor odd:Box raised TypeError"),
        (
            "def snapshot(self): 1 / 0\n    def restore(self, state): ...",
            "at the end: predictor odd:Box raised ZeroDivisionError",
        ),
    ],
)
def test_a_black_box_that_goes_wrong_beside_its_answer_is_named(
    more: str, reason: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ["class Box:", "    def predict(self, sample):"]
    source += ["        return None if sample.values[3] and self.bad else False"]
    source += ["    bad = False", f"    {more}"]
    (workplace / "odd.py").write_text("\n".join(source))
    path = table(workplace / "a.csv", [0.0], fourth=1.0)
    text = refused(capsys, 1, path, "--predictor", "odd:Box", "--plot", "p.png")
    assert reason in text
    assert "Traceback" not in text


def test_what_is_said_is_shown_as_one_line(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "mine.py").write_text(
        MINE.replace('"asked"', '"a\\nrow 9: \\x1b[31m" + "x" * 999')
    )
    text = said(capsys, table(workplace / "a.csv", [0.0]), "--predictor", "mine:Above")
    assert text.splitlines()[-1].startswith("row 0: a row 9:  [31mxxx")
    assert len(text.splitlines()[-1]) < 520


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["a.csv", "--out", "p", "--plot", "./p"], 2, "p: --out and --plot need different files"),
        (["none.csv"], 1, "none.csv: cannot be read: No such file"),
        (["a.csv", "--predictor", "oracle"], 2, "predictor oracle: is not known"),
        (["a.csv", "a.csv", "--out", "p.csv"], 2, "--out and --plot take one file and one"),
        (["a.csv", "--out", "a.csv"], 2, "a.csv: is an input file, and must not be overwritten"),
        (["a.csv", "--plot", "a.csv"], 2, "a.csv: is an input file, and must not be overwritten"),
        (["a.csv", "--out", "no/p.csv"], 1, "no/p.csv: cannot be written: No such file"),
        (["a.csv", "--out", "/dev/full"], 1, "/dev/full: cannot be written: No space left"),
        (["a.csv", "--plot", "no/p.png"], 1, "no/p.png: cannot be written: "),
        (["a.csv", "--plot", "p.docx"], 1, "p.docx: cannot be written: Format 'docx' is not"),
        (["a.csv", "--config", "no.toml"], 2, "no.toml: cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: list[str],
    code: int,
    reason: str,
    workplace: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table(workplace / "a.csv", [0.0] * 5)
    text = refused(capsys, code, *arguments)
    assert text.splitlines()[-1].startswith(f"broker: {reason}")
    assert (workplace / "a.csv").read_text() == "0.0,0,0,0.0\n" * 5


def test_without_matplotlib_a_picture_is_refused_at_once(
    workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "broker.evaluate.plot", raising=False)
    path = table(workplace / "a.csv", [0.0])
    text = refused(capsys, 2, path, "--plot", "p.png")
    assert text == "broker: matplotlib is missing: pip install 'matplotlib>=3.10.8'\n"


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
