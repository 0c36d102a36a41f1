import math
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
    said(capsys, path, "--predictor", "mine:Above", "--out", "p.csv")
    assert (workplace / "p.csv").read_text() == "0,0\n1,1\n2,0\n3,1\n"


def test_a_value_is_rounded_as_the_wire_rounds_it(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(workplace / "a.csv", [0.5 + 1e-12])
    said(capsys, path, "--predictor", "mine:Above", "--out", "p.csv")
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
        said(capsys, path, "--out", "p.csv", *more)
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


@pytest.mark.parametrize("predictor", ["chart", "parity"])
def test_a_picture_is_drawn(
    predictor: str, workplace: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, str(dataset), "--predictor", predictor, "--plot", "p.png")
    assert (workplace / "p.png").read_bytes().startswith(b"\x89PNG")


def test_what_was_answered_before_a_row_that_is_none_is_kept(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "a.csv").write_text("1,0,0,0\n1,0,0\n")
    text = refused(capsys, 1, "a.csv", "--predictor", "mine:Above", "--out", "p.csv")
    assert text == "broker: a.csv: line 2: expected 4 columns, got 3\n"
    assert (workplace / "p.csv").read_text() == "0,1\n"


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
    assert text.startswith(f"broker: {reason}")
    assert (workplace / "a.csv").read_text() == "0.0,0,0,0.0\n" * 5


def test_without_matplotlib_a_picture_is_refused_at_once(
    workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "broker.evaluate.plot", raising=False)
    path = table(workplace / "a.csv", [0.0])
    text = refused(capsys, 2, path, "--plot", "p.png")
    assert text == "broker: matplotlib is missing: pip install 'matplotlib>=3.10.8'\n"
