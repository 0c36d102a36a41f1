"""`broker evaluate`: the answers as a picture."""

import sys
from pathlib import Path

import pytest
from support.evaluation import LASTING, refused, said, table


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


def test_without_matplotlib_a_picture_is_refused_at_once(
    workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "broker.evaluate.plot", raising=False)
    path = table(workplace / "a.csv", [0.0])
    text = refused(capsys, 2, path, "--plot", "p.png")
    assert text == "broker: matplotlib is missing: pip install 'matplotlib>=3.10.8'\n"
