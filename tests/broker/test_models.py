"""Black boxes that are more than their code and their options: what model() gives is told apart."""

from pathlib import Path

import pytest

from broker.errors import PredictorError
from broker.predictors.load import load

BOX = """
from pathlib import Path

class Box:
    def __init__(self, path="", scale=1.0):
        pass

    def predict(self, sample):
        return False

    {model}
"""

FILE = "model = classmethod(lambda cls, path, **_: Path(path).read_bytes())"


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", str(tmp_path)])


def digest(name: str, model: str, **options: object) -> str:
    Path(f"{name}.py").write_text(BOX.format(model=model))
    return load(f"{name}:Box", options).digest


def test_another_model_of_the_same_name_is_another_black_box_and_another_name_alone_is_too() -> (
    None
):
    Path("a.bin").write_bytes(b"weights")
    Path("b.bin").write_bytes(b"weights")
    one = digest("filed", FILE, path="a.bin")
    assert digest("filed", FILE, path="a.bin") == one
    assert digest("filed", FILE, path="b.bin") != one  # an option is an option
    Path("a.bin").write_bytes(b"Weights")
    assert digest("filed", FILE, path="a.bin") != one
    Path("a.bin").write_bytes(b"weights")
    assert digest("filed", FILE, path="a.bin") == one


def test_a_black_box_without_a_model_has_the_digest_of_its_code_and_options() -> None:
    assert digest("bare", "") == digest("bare", "")
    assert digest("bare", "") != digest("bare", "", scale=2.0)


@pytest.mark.parametrize(
    ("name", "model", "reason"),
    [
        ("gone", FILE, "model(): FileNotFoundError: "),
        ("texts", "model = classmethod(lambda cls, **_: 'text')", "model(): TypeError: "),
        (
            "exits",
            "model = classmethod(lambda cls, **_: exit('no licence'))",
            "model(): SystemExit",
        ),
        ("method", "def model(self): return b''", "model(): TypeError: Box.model() got an unexpec"),
    ],
)
def test_a_model_that_cannot_be_told_is_refused_with_the_reason(
    name: str, model: str, reason: str
) -> None:
    with pytest.raises(PredictorError) as raised:
        digest(name, model, path="none.bin")
    assert str(raised.value).startswith(f"predictor {name}:Box: {reason}")
