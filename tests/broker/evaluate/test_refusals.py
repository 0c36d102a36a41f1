"""`broker evaluate`: what it refuses, and what it tells of rows and predictors that fail."""

from pathlib import Path

import pytest
from support.evaluation import refused, table

from broker.__main__ import main

ALL = "('agent run --simulate FILE --check' lists all such rows)"


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


def test_a_black_box_that_raises_is_named_with_the_row_and_its_own_line(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(workplace / "a.csv", [0.0], fourth=7.0)
    text = refused(capsys, 1, path, "--predictor", "mine:Above")
    assert "a.csv: row 0: predictor mine:Above raised RuntimeError: seven (mine.py, line 8)" in text


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
