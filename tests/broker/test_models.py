"""Black boxes that are more than their code and their options: what model() gives is told apart."""

import importlib
import sys
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


def test_models_that_differ_at_their_end_are_told_apart() -> None:
    digests = set()
    for end in (b"a", b"b"):
        Path("large.bin").write_bytes(bytes(100_000) + end)
        digests.add(digest("large", FILE, path="large.bin"))
    assert len(digests) == 2


@pytest.mark.parametrize(
    "model", ["def model(self): return b''", "model = 7", "model = property()"]
)
def test_what_is_called_model_and_is_no_class_method_is_left_alone(model: str) -> None:
    assert len(digest(f"own{len(model)}", model)) == 16


def test_a_digest_covers_what_a_module_imports_of_its_own_package_and_nothing_else() -> None:
    sources = {
        "__init__": "",
        "box": "from .limits import LOW\nimport {0}.far\nclass Box:\n"
        "    def predict(self, sample):\n        return sample.id < LOW\n",
        "limits": "from {0} import deep\nLOW = 1",
        "deep": "HIGH = 2",
        "far": "",
        "other": "",
    }

    def digest_with(changed: str) -> str:
        package = f"plant_{changed}"
        Path(package).mkdir()
        for name, source in sources.items():
            more = "\n# another version\n" if name == changed else ""
            Path(package, f"{name}.py").write_text(source.format("plant") + more)
        Path("plant").unlink(missing_ok=True)
        Path("plant").symlink_to(package)
        importlib.invalidate_caches()
        found = load("plant.box:Box", {}).digest
        for name in [name for name in sys.modules if name.partition(".")[0] == "plant"]:
            del sys.modules[name]
        return found

    digests = {changed: digest_with(changed) for changed in ("none", *sources)}
    same = {name for name, found in digests.items() if found == digests["none"]}
    assert same == {"none", "other"}


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
    ],
)
def test_a_model_that_cannot_be_told_is_refused_with_the_reason(
    name: str, model: str, reason: str
) -> None:
    with pytest.raises(PredictorError) as raised:
        digest(name, model, path="none.bin")
    assert str(raised.value).startswith(f"predictor {name}:Box: {reason}")
