from pathlib import Path

import pytest
from support.clock import ManualClock

from broker.__main__ import main
from broker.evaluate.conformance import Finding, check
from broker.model import Sample
from broker.predictors import BlackBox
from broker.predictors.load import load

# Counts rows, and is True where sensor 1 has risen: all that the broker asks for.
GOOD = """
import math
import struct

class Box:
    def __init__(self):
        self.rows, self.level = 0, 0.0

    def predict(self, sample):
        value = sample.values[0]
        if not math.isfinite(value):
            return False
        self.rows += 1
        self.level += (value - self.level) / min(self.rows, 50)
        return value > 1.05 * self.level

    def snapshot(self):
        return struct.pack("<Qd", self.rows, self.level)

    def restore(self, state):
        self.rows, self.level = struct.unpack("<Qd", state)
"""

RESULTS = [
    *("loads", "answers", "time per sample", "order", "purity", "snapshot"),
    *("failed readings", "constant input", "huge input"),
]


class Takes:
    """A black box whose answer takes its time, by a clock that a test moves."""

    def __init__(self, seconds: float, clock: ManualClock) -> None:
        self._seconds = seconds
        self._clock = clock

    def predict(self, _: Sample) -> bool:
        self._clock.advance(self._seconds)
        return False


def checked(
    capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit code; by name, how it went and what was said of it."""
    code = main(["check-predictor", *arguments])
    lines = capsys.readouterr().out.splitlines()
    return code, {line[8:24].strip(): (line[:8].strip(), line[25:]) for line in lines}


@pytest.mark.parametrize("name", ["chart", "parity", "box:Box"])
def test_a_good_one_passes_all(
    name: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "box.py").write_text(GOOD)
    code, findings = checked(capsys, name)
    assert code == 0
    assert [*findings] == RESULTS
    assert {outcome for outcome, _ in findings.values()} == {"passed"}


@pytest.mark.parametrize(
    ("condition", "told"),
    [("False", "predicted False for all"), ("True", "predicted True for")],
)
def test_one_that_always_predicts_the_same_is_warned_of(
    condition: str, told: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "box.py").write_text(
        GOOD.replace("value > 1.05 * self.level", condition).replace(
            "return False\n", f"return {condition}\n"
        )
    )
    code, findings = checked(capsys, "box:Box")
    assert code == 0
    assert findings["answers"][0] == "warning"
    assert findings["answers"][1].startswith(told)
    assert "check-predictor --recording" in findings["answers"][1]
    healthy = recording(workplace / "healthy.csv", 500)
    _, findings = checked(capsys, "box:Box", "--recording", str(healthy))
    assert findings["answers"][1].startswith(told)
    assert "--recording" not in findings["answers"][1]


SENSORS = Path(__file__).parents[2] / "dataset" / "sensors.csv"
MODELS = Path(__file__).parent / "models"


def recording(path: Path, rows: int) -> Path:
    """The first rows of the shipped file: the fault begins at 518."""
    path.write_text("".join(SENSORS.read_text().splitlines(keepends=True)[:rows]))
    return path


def configuration(path: Path, alarm: str, warm_up: int = 0) -> str:
    path.write_text(
        f'''
        [predictor]
        use = "onnx"
        [predictor.options]
        path = "{MODELS / "one_class_svm.onnx"}"
        output = "scores"
        alarm = "{alarm}"
        threshold = 0.0
        warm_up = {warm_up}
        '''
    )
    return str(path)


def recorded(
    capsys: pytest.CaptureFixture[str], healthy: Path, *arguments: str
) -> tuple[int, tuple[str, str]]:
    code, findings = checked(capsys, *arguments, "--recording", str(healthy))
    return code, findings["recording"]


@pytest.mark.parametrize("warm_up", [0, 249])
def test_an_alarm_that_is_the_wrong_way_round_fails_on_a_healthy_recording(
    warm_up: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    healthy = recording(tmp_path / "healthy.csv", 500)
    config = configuration(tmp_path / "right.toml", "below")
    assert recorded(capsys, healthy, "--config", config) == (
        0,
        ("passed", f"True for 10 of 500 samples of {healthy}"),
    )
    config = configuration(tmp_path / "wrong.toml", "above", warm_up)
    code, (outcome, told) = recorded(capsys, healthy, "--config", config)
    assert (code, outcome) == (1, "failed")
    assert "Is its alarm the wrong way round" in told


def test_one_that_is_true_for_less_than_most_of_a_recording_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    healthy = recording(tmp_path / "healthy.csv", 500)
    told = f"True for 250 of 500 samples of {healthy}"
    assert recorded(capsys, healthy, "parity") == (0, ("passed", told))


def test_a_recording_that_ends_in_the_learning_phase_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, (outcome, told) = recorded(capsys, recording(tmp_path / "healthy.csv", 100), "chart")
    assert (code, outcome) == (0, "warning")
    assert told.endswith("it was still learning at the end")


def test_one_that_raises_on_a_recording_fails(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "box.py").write_text(
        GOOD.replace(
            "self.rows += 1", "self.rows += 1\n        assert self.rows != 300 or value > 1"
        )
    )
    healthy = recording(workplace / "healthy.csv", 500)
    code, (outcome, told) = recorded(capsys, healthy, "box:Box")
    assert (code, outcome) == (1, "failed")
    assert "row 299: predictor box:Box raised AssertionError" in told


def test_a_recording_that_is_missing_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "healthy.csv")
    assert main(["check-predictor", "chart", "--recording", missing]) == 1
    assert missing in capsys.readouterr().err


def test_one_without_a_state_is_good_too(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "box.py").write_text(GOOD.replace("def snapshot", "def _snapshot"))
    code, findings = checked(capsys, "box:Box")
    assert code == 0
    assert findings["snapshot"][0] == "skipped"


@pytest.mark.parametrize(
    ("old", "new", "fails", "reason"),
    [
        (
            "> 1.05 * self.level",
            "> 1.05 * self.level or [None, False][sample.id != 300]",
            {"answers"},
            "returned None, not",
        ),
        (
            "self.rows += 1",
            "self.rows += 1\n        assert sample.id in (0, getattr(self, 'next', 0))\n"
            "        self.next = sample.id + 1",
            {"order"},
            "raised AssertionError, with id 250",
        ),
        (
            "self.rows += 1",
            "self.rows += 1\n        Box.all = getattr(Box, 'all', 0) + 1\n"
            "        if Box.all % 7 == 0: return True",
            {"purity", "snapshot"},
            "instances share state",
        ),
        (
            "def snapshot(self):",
            "def statistics(self):\n        return {'rows': (Box.seen, 1.0)}\n\n    seen = 0\n\n"
            "    def explain(self):\n        self.seen = self.seen + 1\n"
            "        return 'ten' if self.seen == 10 else None\n\n    def snapshot(self):",
            {"snapshot"},
            "the snapshot is not the whole state",
        ),
        (
            "def snapshot(self):",
            "def explain(self):\n        return self.rows\n\n    def snapshot(self):",
            {"answers"},
            "explain() returned 1, neither a str nor None",
        ),
        (
            "def snapshot(self):",
            "def statistics(self):\n        return {'T2': 3.0}\n\n    def snapshot(self):",
            {"answers"},
            "statistics() raised TypeError",
        ),
        (
            'struct.pack("<Qd", self.rows, self.level)',
            'struct.pack("<Qd", self.rows, 0.0)',
            {"snapshot"},
            "the snapshot is not the whole state",
        ),
        (
            'return struct.pack("<Qd", self.rows, self.level)',
            'return struct.pack("<Qd", self.rows, self.level).hex()',
            {"snapshot"},
            "snapshot() returned str, not bytes",
        ),
        (
            'return struct.pack("<Qd", self.rows, self.level)',
            'self.level -= 9\n        return struct.pack("<Qd", self.rows, self.level + 9)',
            {"snapshot"},
            "after a snapshot was taken",
        ),
        (
            'struct.pack("<Qd", self.rows, self.level)',
            'struct.pack("<Qd", self.rows, self.level) + bytes(1 << 20)',
            {"snapshot"},
            "raised error: unpack requires a buffer of 16 bytes",
        ),
        (
            "if not math.isfinite(value):\n            return False",
            "if math.isnan(sum(sample.values)): raise ValueError('NaN')",
            {"failed readings", "huge input"},
            "raised ValueError: NaN, with id 0 and (nan, nan, nan, nan)",
        ),
        (
            "return value > 1.05",
            "return bool(sample.id) and value / self.level > 1.05",
            {"constant input"},
            "raised ZeroDivisionError",
        ),
        (
            "self.rows += 1",
            "self.rows += 1\n        struct.pack('<f', value * 2)",
            {"huge input"},
            "raised OverflowError",
        ),
    ],
)
def test_each_thing_that_it_must_not_do_is_found_and_told(
    old: str, new: str, fails: set[str], reason: str, request: pytest.FixtureRequest
) -> None:
    workplace, capsys = (request.getfixturevalue(name) for name in ("workplace", "capsys"))
    assert old in GOOD
    (workplace / "box.py").write_text(GOOD.replace(old, new))
    code, findings = checked(capsys, "box:Box")
    assert code == 1
    failed = {name: said for name, (outcome, said) in findings.items() if outcome == "failed"}
    assert fails <= {*failed}
    assert any(reason in said for said in failed.values())


def test_a_slow_one_is_sent_to_threads(
    workplace: Path,
) -> None:
    (workplace / "box.py").write_text(GOOD)
    black_box = load("box:Box", {})

    def timed(**bounds: float) -> Finding:
        findings = {each.name: each for each in check(black_box, **bounds)}
        return findings["time per sample"]

    slow = timed(threads=0, slice_us=0.0)
    assert slow.outcome == "failed"
    assert "predictor.threads = 2 or more" in slow.detail
    assert timed(threads=2, slice_us=0.0).outcome == "passed"
    assert timed(threads=0).outcome == "passed"


def test_time_per_sample_is_measured_by_the_clock() -> None:
    clock = ManualClock()
    black_box = BlackBox(lambda: Takes(0.006, clock), "0" * 16)
    findings = {each.name: each for each in check(black_box, threads=0, clock=clock)}
    assert findings["time per sample"].detail.startswith("median 6000.0 us, p99 6000.0 us: it")


def test_one_that_cannot_be_loaded_is_refused(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "box.py").write_text("class Box: ...")
    assert main(["check-predictor", "box:Box"]) == 2
    assert "is not a class with a method predict" in capsys.readouterr().err
