"""A calibration from two points, by a person at a virtual clock."""

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import calibrate
from agent.__main__ import main
from agent.calibrate import Point, line_through
from agent.clock import VirtualClock
from agent.config import Settings
from agent.errors import AgentError, SourceError
from quartet.errors import SettingsError
from quartet.settings import load

many = settings(derandomize=True, deadline=None)

CONFIG = """\
# press 4, hall B
[source]            # four of them
kind = "virtual"

[source.sensor2]    # oil pressure
gain = 1            # keep
scale = 1.0  # of the data sheet

[virtual.a1]
kind = "csv"
path = "{csv}"
column = 1
rate_hz = 0.01

[link]
window = 10         # small
"""


class Operator:
    """Stands in for a person: brings the sensor to the next value, and says what it is."""

    def __init__(self, clock: VirtualClock, *answers: str) -> None:
        self._clock = clock
        self._answers = list(answers)

    def readline(self) -> str:
        if not self._answers:
            return ""
        answer = self._answers.pop(0)
        if answer == "^C":
            raise KeyboardInterrupt
        if answer.startswith("16"):
            self._clock.now_ns += 100_000_000_000
        return answer + "\n"


class Bench:
    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = VirtualClock()
        self._patch = monkeypatch
        csv = tmp_path / "two.csv"
        csv.write_text("0.5,0,0,0\n2.1,0,0,0\n")
        self.path = tmp_path / "agent.toml"
        self.path.write_text(CONFIG.format(csv=csv))

    def calibrate(self, *answers: str, unit: str | None = "bar", path: Path | None = None) -> int:
        self._patch.setattr(sys, "stdin", Operator(self.clock, *answers))
        return calibrate.run(load(self.path, Settings), 2, unit, path, self.clock)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


finite = st.floats(-1e6, 1e6)
codes = st.floats(-32000, 32000)


@many
@given(finite, finite, codes, codes)
def test_both_points_are_on_the_line_or_there_is_none(
    value_1: float, value_2: float, code_1: float, code_2: float
) -> None:
    lsb_v = 125e-6
    points = Point(value_1, code_1, 0.0), Point(value_2, code_2, 0.0)
    try:
        scale, offset = line_through(*points, lsb_v)
    except AgentError:
        assert abs(code_1 - code_2) < 100 or value_1 == value_2
        return
    assert scale != 0
    span = abs(scale) * 8 + abs(offset)
    for point in points:
        assert scale * point.code * lsb_v + offset == pytest.approx(point.value, abs=span * 1e-8)


@many
@given(st.floats(0, 100), st.floats(0, 100))
def test_points_are_refused_whose_scale_would_be_off_by_more_than_a_percent(
    error_1: float, error_2: float
) -> None:
    apart = 100 * (error_1**2 + error_2**2) ** 0.5
    with pytest.raises(AgentError, match="keep it still, or choose values that are farther apart"):
        line_through(Point(0, 0, error_1), Point(1, max(apart, 100) * 0.99, error_2), 125e-6)
    line_through(Point(0, 0, error_1), Point(1, max(apart, 100) * 1.01, error_2), 125e-6)


def test_two_points_are_written_and_all_else_is_kept(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.path.chmod(0o640)
    before = bench.path.read_text()
    assert bench.calibrate("0", "16", path=bench.path) == 0
    settings = load(bench.path, Settings)
    assert settings.source.sensor2.scale == pytest.approx(10.0, abs=0.01)
    assert settings.source.sensor2.offset == pytest.approx(-5.0, abs=0.01)
    assert settings.source.sensor2.unit == "bar"
    kept = [line for line in before.splitlines() if not line.startswith("scale")]
    assert [line for line in kept if line not in bench.path.read_text().splitlines()] == []
    assert "# of the data sheet" in bench.path.read_text()
    assert bench.path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in bench.path.parent.glob(".*")] == []
    said = capsys.readouterr().out
    assert "enter this value in bar: 0 bar = 0.50000 V, noise 0.00 mV" in said
    assert f"written to {bench.path}" in said


def test_without_a_file_the_table_is_printed(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    before = bench.path.read_text()
    assert bench.calibrate("0", "16") == 0
    assert '[source.sensor2]\nunit = "bar"\nscale = 10.0' in capsys.readouterr().out
    assert bench.path.read_text() == before


def test_what_is_no_number_is_asked_for_again(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.calibrate("zero", "0", "nan", "1,600", "16.0", path=bench.path) == 0
    said = capsys.readouterr().out
    assert "'zero' is not a number" in said
    assert "'nan' is not a number" in said
    assert "'1,600' is not a number such as 1.5" in said


@pytest.mark.parametrize(
    ("answers", "error", "reason"),
    [
        (("0",), AgentError, "no answer: nothing was written"),
        (("0", "^C"), AgentError, "stopped: nothing was written"),
        (("16", "0"), AgentError, "the two points are 0.00 mV apart, but 12.50 mV are needed"),
        (("16", "16"), AgentError, "both values are the same"),
    ],
)
def test_what_gives_no_calibration_leaves_the_file_as_it_was(
    bench: Bench, answers: tuple[str, ...], error: type[Exception], reason: str
) -> None:
    before = bench.path.read_text()
    with pytest.raises(error, match=reason):
        bench.calibrate(*answers, path=bench.path)
    assert bench.path.read_text() == before


def test_a_saturated_sensor_is_not_calibrated(bench: Bench) -> None:
    bench.path.write_text(bench.path.read_text().replace("gain = 1", "gain = 16"))
    with pytest.raises(SourceError, match="sensor2 is saturated: choose a lower gain"):
        bench.calibrate("0", "16", path=bench.path)


def test_limits_in_the_former_unit_are_pointed_out(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.path.write_text(bench.path.read_text().replace("gain = 1", "min = 0.1"))
    bench.calibrate("0", "16", path=bench.path)
    assert "check min and max of sensor2: they are in this unit, too" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[source]\nkind = 'replay'\npath = 'x.csv'\n", "unknown key"),
        ("\ufeff[source]\nkind = 'virtual'\n", "cannot be edited"),
        (
            "source = {kind = 'virtual'}\n",
            "write the sensor as a table .source.sensor2. of its own",
        ),
        ("source.kind = 'virtual'\nsource.sensor1.gain = 1\n", "of its own"),
    ],
)
def test_a_file_that_cannot_be_edited_is_refused_before_anybody_is_asked(
    text: str, reason: str, bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(text)
    with pytest.raises(SettingsError, match=reason) as raised:
        bench.calibrate("0", "16", path=other)
    assert str(raised.value).startswith(f"{other}: cannot be edited")
    assert "Bring" not in capsys.readouterr().out
    assert other.read_text() == text
    assert [each.name for each in tmp_path.glob(".*")] == []


def test_a_link_stays_and_the_file_that_it_leads_to_is_edited(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "agent.toml"
    link.symlink_to(bench.path)
    assert bench.calibrate("0", "16", path=link) == 0
    assert link.is_symlink()
    assert load(bench.path, Settings).source.sensor2.unit == "bar"


def test_line_ends_are_kept(bench: Bench) -> None:
    bench.path.write_bytes(bench.path.read_bytes().replace(b"\n", b"\r\n"))
    assert bench.calibrate("0", "16", path=bench.path) == 0
    lines = bench.path.read_bytes().splitlines(keepends=True)
    assert sum(not line.endswith(b"\r\n") for line in lines) == 0


def test_a_real_chips_file_is_not_calibrated_by_one_in_software(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = tmp_path / "real.toml"
    real.write_text("[source]\nkind = 'ads1115'\n")
    with pytest.raises(SystemExit, match="2"):
        main(["calibrate", "2", "--virtual", "--config", str(real)])
    assert f"--virtual: {real} describes a real chip" in capsys.readouterr().err


def test_a_sensor_that_is_none_has_nothing_to_calibrate(bench: Bench) -> None:
    text = bench.path.read_text()
    bench.path.write_text(text.replace("gain = 1 ", 'input = "none" '))
    with pytest.raises(SettingsError, match=r'^source.sensor2.input: "none" has nothing to'):
        bench.calibrate("0", "16")


def test_a_replayed_file_has_nothing_to_calibrate(bench: Bench) -> None:
    bench.path.write_text("[source]\nkind = 'replay'\npath = 'x.csv'\n")
    with pytest.raises(SettingsError, match="only a chip can be calibrated"):
        bench.calibrate("0", "16", path=bench.path)


def test_a_file_that_cannot_be_written_is_refused_before_anybody_is_asked(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SettingsError, match="cannot be written"):
        bench.calibrate("0", "16", path=tmp_path / "missing.toml")
    assert capsys.readouterr().out == ""


def test_a_file_without_a_source_gets_one(bench: Bench, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("[link]\nwindow = 3\n")
    assert bench.calibrate("0", "16", path=other) == 0
    written = load(other, Settings)
    assert written.source.sensor2.unit == "bar"
    assert written.link.window == 3
