"""How a predictor is loaded: by name, module or entry point, with its options and its digest."""

import sys
from pathlib import Path

import pytest
from support.rows import sample

from broker.errors import BrokerError, PredictorError
from broker.model import Sample
from broker.predictors import is_stateful
from broker.predictors.limits import Limits
from broker.predictors.load import load
from broker.predictors.parity import Parity
from quartet.errors import SettingsError


def install(folder: Path, entry_points: str) -> None:
    """A distribution with entry points, as pip would leave it."""
    info = folder / "blackboxes-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: blackboxes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[quartet.predictors]\n{entry_points}\n")


THRESHOLD = """
class Threshold:
    made = 0

    def __init__(self, at=0.5):
        type(self).made += 1
        self.at = at
        self.count = 0

    def predict(self, sample):
        self.count += 1
        return max(sample.values) > self.at
"""


def test_a_built_in_is_loaded_by_its_name() -> None:
    assert isinstance(load("limits", {}).make(), Limits)
    assert isinstance(load("parity", {}).make(), Parity)


def test_options_reach_every_instance_of_a_built_in() -> None:
    make = load("limits", {"low": -1, "high": [1, 1, 1, 9]}).make
    assert not make().predict(sample(-0.5, 1.0, 1.0, 9.0))
    assert make().predict(sample(2.0, 0.0, 0.0, 0.0))


def test_a_class_of_the_working_directory_is_loaded_by_module_and_name(workplace: Path) -> None:
    (workplace / "mine.py").write_text(THRESHOLD)
    make = load("mine:Threshold", {"at": 2.0}).make
    assert make().predict(sample(3.0, 0.0, 0.0, 0.0)) is True
    assert make().predict(sample(1.0, 0.0, 0.0, 0.0)) is False


def test_a_class_of_a_package_is_loaded_by_its_dotted_path(workplace: Path) -> None:
    (workplace / "boxes").mkdir()
    (workplace / "boxes" / "__init__.py").touch()
    (workplace / "boxes" / "inner.py").write_text(
        "class Outer:\n class Box:\n  def predict(self, sample): return True\n"
    )
    assert load("boxes.inner:Outer.Box", {}).make().predict(sample(0, 0, 0, 0)) is True


def test_an_installed_entry_point_is_loaded_by_its_name(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = workplace / "site"
    install(site, "threshold = installed_box:Threshold")
    (site / "installed_box.py").write_text(THRESHOLD)
    monkeypatch.syspath_prepend(str(site))
    make = load("threshold", {"at": 2.0}).make
    assert make().predict(sample(3.0, 0.0, 0.0, 0.0)) is True


def test_each_line_gets_an_instance_of_its_own_that_the_trial_has_not_touched(
    workplace: Path,
) -> None:
    (workplace / "apart.py").write_text(THRESHOLD)
    make = load("apart:Threshold", {}).make
    one, other = make(), make()
    assert one is not other
    one.predict(sample(0, 0, 0, 0))
    assert (one.count, other.count, type(one).made) == (1, 0, 3)


def digest_of(folder: Path, source: str, name: str, options: dict[str, object]) -> str:
    """As a broker that is started now would tell it."""
    (folder / "mine.py").write_text(source)
    sys.modules.pop("mine", None)
    return load(name, options).digest


def test_a_digest_tells_other_code_another_class_and_other_options_apart(workplace: Path) -> None:
    twins = THRESHOLD + THRESHOLD.replace("class Threshold", "class Other")
    digests = [
        digest_of(workplace, source, name, options)
        for source, name, options in [
            (THRESHOLD, "mine:Threshold", {}),
            (THRESHOLD, "mine:Threshold", {"at": 0.5}),
            (THRESHOLD, "mine:Threshold", {"at": 0.6}),
            (THRESHOLD.replace("> self.at", ">= self.at"), "mine:Threshold", {}),
            (twins, "mine:Threshold", {}),
            (twins, "mine:Other", {}),
        ]
    ]
    assert len(set(digests)) == len(digests)
    assert all(len(digest) == 16 for digest in digests)


def test_the_same_black_box_has_the_same_digest_at_every_start(workplace: Path) -> None:
    one = digest_of(workplace, THRESHOLD, "mine:Threshold", {"at": 2})
    assert digest_of(workplace, THRESHOLD, "mine:Threshold", {"at": 2}) == one
    both = [load("limits", options).digest for options in ({"low": 0, "high": 1},) * 2]
    assert both[0] == both[1] != load("limits", {}).digest
    reordered = load("limits", {"high": 1, "low": 0}).digest
    assert reordered == both[0]


def numbered(algorithm: str) -> str:
    return THRESHOLD.replace("made = 0", f"made = 0\n    algorithm = {algorithm}")


def test_a_digest_by_number_knows_no_source_but_options_name_and_number(workplace: Path) -> None:
    twins = numbered("1") + numbered("1").replace("class Threshold", "class Other")
    digests = [
        digest_of(workplace, source, name, options)
        for source, name, options in [
            (THRESHOLD, "mine:Threshold", {}),
            (numbered("1"), "mine:Threshold", {}),
            (numbered("2"), "mine:Threshold", {}),
            (numbered("'1'"), "mine:Threshold", {}),
            (numbered("1"), "mine:Threshold", {"at": 0.6}),
            (twins, "mine:Other", {}),
        ]
    ]
    assert len(set(digests)) == len(digests)
    changed = numbered("1").replace("> self.at", ">= self.at")
    assert digest_of(workplace, changed, "mine:Threshold", {}) == digests[1]


def test_a_class_does_not_inherit_the_number_of_another_one(workplace: Path) -> None:
    (workplace / "base.py").write_text(numbered("1"))
    own = "import base\n\nclass Mine(base.Threshold):\n    limit = {}\n"
    digests = {digest_of(workplace, own.format(limit), "mine:Mine", {}) for limit in (1, 2)}
    assert len(digests) == 2


@pytest.mark.parametrize("algorithm", ["True", "1.5", "object()", "print"])
def test_a_number_of_an_algorithm_that_is_none_is_refused(workplace: Path, algorithm: str) -> None:
    (workplace / "odd.py").write_text(numbered(algorithm))
    sys.modules.pop("odd", None)
    assert refusal("odd:Threshold").startswith("algorithm must be an int or a str, got ")


@pytest.mark.parametrize("box", [Limits(), Parity()])
def test_a_built_in_tells_its_state_which_is_none(box: Limits | Parity) -> None:
    assert is_stateful(box)
    assert box.snapshot() == b""
    box.restore(b"")


@pytest.mark.parametrize(
    "value", ["True", "numpy.True_", "numpy.float32(1) > 0", "numpy.isnan(sample.values).any()"]
)
def test_a_boolean_of_numpy_is_a_boolean(workplace: Path, value: str) -> None:
    pytest.importorskip("numpy")
    (workplace / "numeric.py").write_text(
        f"import numpy\nclass Box:\n    def predict(self, sample):\n        return {value}\n"
    )
    assert bool(load("numeric:Box", {}).make().predict(sample(0, 0, 0, 0))) in {True, False}


def refusal(name: str, options: dict[str, object] | None = None) -> str:
    with pytest.raises(PredictorError) as raised:
        load(name, options or {})
    message = str(raised.value)
    assert message.startswith(f"predictor {name}: ")
    return message.removeprefix(f"predictor {name}: ")


def test_an_unknown_name_is_refused_with_those_that_are_known(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(workplace / "site", "zebra = stripes:Box")
    monkeypatch.syspath_prepend(str(workplace / "site"))
    expected = "is not known; use chart, limits, onnx, parity, zebra, or module:Class"
    assert refusal("limit") == expected
    assert refusal("") == expected
    assert refusal("mine.Threshold") == expected


def test_an_entry_point_that_cannot_be_imported_is_refused_with_the_reason(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(workplace / "site", "gone = gone_module:Box")
    monkeypatch.syspath_prepend(str(workplace / "site"))
    assert refusal("gone") == (
        "cannot be imported: ModuleNotFoundError: No module named 'gone_module'"
    )


@pytest.mark.parametrize("name", [":", "::", ":Box", "two words:Box", "mine:Box:more"])
@pytest.mark.usefixtures("workplace")
def test_a_name_that_is_no_module_and_class_is_refused(name: str) -> None:
    assert refusal(name).startswith("cannot be imported: ")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_library", "cannot be imported: ModuleNotFoundError: No module named 'no_"),
        ("class Box", "cannot be imported: SyntaxError: expected ':'"),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        ("class Bx: ...", "cannot be imported: AttributeError: module 'broken' has no attribute"),
        ("Box = 7", "is not a class with a method predict(sample)"),
        ("class Box: ...", "is not a class with a method predict(sample)"),
        ("class Box: predict = True", "is not a class with a method predict(sample)"),
        ("def Box(sample): return True", "is not a class with a method predict(sample)"),
        ("class B:\n def predict(self, s): return True\nBox = B()", "is not a class with a method"),
    ],
)
def test_what_is_no_black_box_is_refused_with_the_reason(
    workplace: Path, source: str, reason: str
) -> None:
    (workplace / "broken.py").write_text(source)
    assert refusal("broken:Box").startswith(reason)


TRIAL = "failed on a trial with (0.0, 0.0, 0.0, 0.0): "


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("def __init__(self): open('model.bin')\n def predict(self, s): return True", "FileNotFou"),
        ("def predict(self): return True", "TypeError: Box.predict() takes 1 positional argument"),
        ("def predict(self, s): return s.volts > 1", "AttributeError: 'Sample' object has no"),
        ("def predict(self, s): return 1 / s.values[0] > 1", "ZeroDivisionError"),
    ],
)
def test_a_black_box_that_raises_on_its_trial_is_refused_with_the_reason(
    workplace: Path, body: str, reason: str
) -> None:
    (workplace / "raising.py").write_text(f"class Box:\n {body}\n")
    assert refusal("raising:Box").startswith(TRIAL + reason)


@pytest.mark.parametrize("value", ["None", "1", "0.5", "'True'", "[True]"])
def test_a_prediction_that_is_no_bool_is_refused(workplace: Path, value: str) -> None:
    (workplace / "untrue.py").write_text(f"class Box:\n def predict(self, s): return {value}\n")
    assert refusal("untrue:Box") == f"predict() returned {value}, not a bool"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("limits", {"lower": 1}, "predictor.options.lower: unknown option; did you mean 'low'?"),
        (
            "chart",
            {"t2": 3, "xyz": 1},
            "predictor.options.t2: unknown option; chart has t2_limit, mewma_limit, settle\n"
            "predictor.options.xyz: unknown option; chart has t2_limit, mewma_limit, settle",
        ),
        (
            "parity",
            {"odd": True},
            "predictor.options.odd: unknown option; parity has no options",
        ),
        ("onnx", {}, "predictor.options.path: missing: onnx needs this option"),
    ],
)
def test_options_that_a_predictor_does_not_take_are_refused_by_name(
    name: str, options: dict[str, object], said: str
) -> None:
    with pytest.raises(PredictorError) as raised:
        load(name, options)
    assert str(raised.value) == said


def test_a_predictor_may_take_any_option(workplace: Path) -> None:
    (workplace / "lenient.py").write_text(
        "class Box:\n def __init__(self, **options): self.options = options\n"
        " def predict(self, s): return self.options == {'a': 1}\n"
    )
    assert load("lenient:Box", {"a": 1}).make().predict(Sample(0, (0.0,) * 4))


def test_a_predictor_error_is_a_mistake_in_the_settings() -> None:
    assert issubclass(PredictorError, SettingsError)
    assert issubclass(PredictorError, BrokerError)
