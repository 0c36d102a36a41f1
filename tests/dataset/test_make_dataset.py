import csv
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

DATASET = Path(__file__).resolve().parents[2] / "dataset"
SCRIPT = DATASET / "make_dataset.py"
SHIPPED = DATASET / "sensors.csv"


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_dataset", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_dataset = load_script()

seeds = st.integers(min_value=0, max_value=2**64)
lengths = st.integers(min_value=make_dataset.MIN_ROWS, max_value=400)
quick = settings(max_examples=25, deadline=None, database=None)


def text(seed: int, rows: int, healthy: bool) -> str:
    return "".join(make_dataset.csv_lines(make_dataset.make(seed, rows, healthy)))


def alarms(values: np.ndarray) -> np.ndarray:
    """The stand-in rule: True where a channel leaves 0 to 0.2 V or is not finite."""
    return ~((values >= 0.0) & (values <= 0.2)).all(axis=1)


@pytest.fixture(scope="module")
def shipped() -> np.ndarray:
    return np.loadtxt(SHIPPED, delimiter=",")[:, 1:]


# The shipped file


def test_no_arguments_write_the_shipped_file_to_the_byte(tmp_path: Path) -> None:
    script = shutil.copy(SCRIPT, tmp_path)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sensors.csv").read_bytes() == SHIPPED.read_bytes()


def test_shipped_file_has_982_rows_of_an_id_and_four_values() -> None:
    raw = SHIPPED.read_bytes()
    assert b"\r" not in raw
    assert raw.endswith(b"\n")
    rows = list(csv.reader(raw.decode("ascii").splitlines()))
    assert [row[0] for row in rows] == [str(row_id) for row_id in range(982)]
    assert {len(row) for row in rows} == {5}
    assert all(repr(float(cell)) == cell for row in rows for cell in row[1:])


def test_shipped_file_alarms_in_one_run_that_ends_with_the_stop(shipped: np.ndarray) -> None:
    rows = np.flatnonzero(alarms(shipped))
    first = int(rows[0])
    assert rows.tolist() == list(range(first, 980))
    assert 0.85 <= first / 982 <= 0.95


def test_readme_names_the_seed_onset_and_channel_of_the_shipped_file() -> None:
    recording = make_dataset.make(make_dataset.DEFAULT_SEED, make_dataset.DEFAULT_ROWS)
    readme = (DATASET / "README.md").read_text(encoding="utf-8")
    assert f"| seed | {make_dataset.DEFAULT_SEED} |" in readme
    assert f"| onset | row {recording.onset_row} |" in readme
    assert f"| faulty channel | sensor{recording.faulty_channel + 1} |" in readme


# Every recording


@quick
@given(seeds, lengths, st.booleans())
def test_same_seed_gives_the_same_bytes(seed: int, rows: int, healthy: bool) -> None:
    assert text(seed, rows, healthy) == text(seed, rows, healthy)


@quick
@given(seeds, lengths, st.booleans())
def test_another_seed_gives_another_recording(seed: int, rows: int, healthy: bool) -> None:
    assert text(seed, rows, healthy) != text(seed + 1, rows, healthy)


@quick
@given(seeds, lengths, st.booleans())
def test_values_are_four_positive_finite_channels(seed: int, rows: int, healthy: bool) -> None:
    values = make_dataset.make(seed, rows, healthy).values
    assert values.shape == (rows, 4)
    assert np.isfinite(values).all()
    assert (values > 0.0).all()


@quick
@given(seeds, lengths)
def test_lines_hold_the_values_unchanged(seed: int, rows: int) -> None:
    recording = make_dataset.make(seed, rows)
    read = np.loadtxt(list(make_dataset.csv_lines(recording)), delimiter=",")
    assert read[:, 0].tolist() == list(range(rows))
    assert read[:, 1:].tolist() == recording.values.tolist()


def test_values_are_rounded_so_that_every_cpu_gives_the_same_file() -> None:
    values = make_dataset.make(1, 400).values
    assert (np.round(values, 10) == values).all()


def test_values_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        make_dataset.make(1, 100).values[0, 0] = 1.0


# The healthy machine


@quick
@given(seeds, lengths)
def test_healthy_recording_has_no_fault_and_no_stop(seed: int, rows: int) -> None:
    recording = make_dataset.make(seed, rows, healthy=True)
    assert recording.onset_row is None
    assert recording.faulty_channel is None
    level = np.median(recording.values, axis=0)
    assert (level > 0.036).all()
    assert (level < 0.14).all()
    assert (recording.values > 0.5 * level).all()
    assert (recording.values < 2.0 * level).all()


def test_healthy_noise_stays_between_its_floor_and_its_ceiling() -> None:
    for seed in range(10):
        values = make_dataset.make(seed, 2000, healthy=True).values
        steps = np.abs(np.diff(np.log(values), axis=0))
        step_deviation = np.median(steps, axis=0) / 0.6745  # robust against spikes
        assert (step_deviation > 0.0065).all()  # sqrt(2) * 0.5 %, less what chance takes
        assert (step_deviation < 0.026).all()  # white noise, own and shared drift at their most


def test_healthy_channels_drift_together_and_also_alone() -> None:
    correlations = []
    for seed in range(20):
        values = make_dataset.make(seed, 2000, healthy=True).values[500:]  # after the run-in
        hourly = np.log(values).reshape(-1, 6, 4).mean(axis=1)
        correlations.append(np.corrcoef(hourly.T)[np.triu_indices(4, 1)].mean())
    assert 0.3 < np.median(correlations) < 0.95


def test_healthy_drift_is_a_percent_or_two() -> None:
    deviations = []
    for seed in range(20):
        values = make_dataset.make(seed, 2000, healthy=True).values[500:]  # after the run-in
        hourly = np.log(values).reshape(-1, 6, 4).mean(axis=1)
        deviations.append(hourly.std(axis=0).mean())
    assert 0.007 < np.median(deviations) < 0.02


def test_run_in_mostly_settles_downwards() -> None:
    settled = []
    for seed in range(40):
        values = make_dataset.make(seed, 2000, healthy=True).values
        settled.extend(np.log(values[:10].mean(axis=0) / values[1500:].mean(axis=0)))
    assert 0.02 < np.mean(settled) < 0.06  # -2 to +10 % at the start


def test_spikes_are_single_readings_and_rare() -> None:
    counts = []
    for seed in range(20):
        values = make_dataset.make(seed, 2000, healthy=True).values
        around = np.stack([values[:-4], values[1:-3], values[3:-1], values[4:]])
        change = values[2:-2] / np.median(around, axis=0) - 1.0
        spikes = np.abs(change) > 0.12
        assert (spikes.sum(axis=1) <= 1).all()
        assert change.min() > -0.45
        assert change.max() < 0.90
        counts.append(int(spikes.sum()))
    assert max(counts) <= 6  # 0.3 % of 2000
    assert sum(counts) > 0


# The fault


@quick
@given(seeds, lengths)
def test_faulty_recording_equals_the_healthy_one_up_to_its_onset(seed: int, rows: int) -> None:
    faulty = make_dataset.make(seed, rows)
    healthy = make_dataset.make(seed, rows, healthy=True)
    assert 0.5 * rows - 1 <= faulty.onset_row <= 0.75 * rows
    until = faulty.onset_row + 1
    assert (faulty.values[:until] == healthy.values[:until]).all()
    assert (faulty.values[until:-2] > healthy.values[until:-2])[:, faulty.faulty_channel].all()


@quick
@given(seeds, lengths)
def test_last_two_rows_are_those_of_a_stopped_machine(seed: int, rows: int) -> None:
    values = make_dataset.make(seed, rows).values
    np.testing.assert_allclose(values[-2:], 0.002, rtol=0.4)
    assert (values[:-2] > 0.01).all()


@quick
@given(seeds, lengths)
def test_fault_is_felt_less_with_distance_along_the_shaft(seed: int, rows: int) -> None:
    recording = make_dataset.make(seed, rows)
    healthy = make_dataset.make(seed, rows, healthy=True)
    excess_v = np.sqrt(recording.values[-3] ** 2 - healthy.values[-3] ** 2)
    felt = excess_v / excess_v[recording.faulty_channel]
    for channel in range(4):
        distance = abs(channel - recording.faulty_channel)
        if distance > 0:
            assert 0.0999 <= felt[channel] * distance <= 0.3501


@quick
@given(seeds, lengths)
def test_faulty_channel_grows_more_than_its_neighbours(seed: int, rows: int) -> None:
    recording = make_dataset.make(seed, rows)
    healthy = make_dataset.make(seed, rows, healthy=True)
    growth_v = recording.values[-3] - healthy.values[-3]
    assert int(np.argmax(growth_v)) == recording.faulty_channel


def test_damage_ends_between_the_models_smallest_and_largest() -> None:
    ends = []
    for seed in range(100):
        recording = make_dataset.make(seed, 400)
        healthy = make_dataset.make(seed, 400, healthy=True).values
        channel = recording.faulty_channel
        energy = recording.values[-3, channel] ** 2 - healthy[-3, channel] ** 2
        ends.append(np.sqrt(energy) / np.median(healthy[:, channel]))
    assert 0.6 < min(ends) < 1.5  # 0.15 * (exp(1.8) - 1) = 0.76
    assert 6.0 < max(ends) < 13.0  # 0.5 * (exp(3.2) - 1) = 11.8


def test_damage_heals_for_a_while_in_some_recordings_and_never_wholly() -> None:
    falls = []
    for seed in range(60):
        recording = make_dataset.make(seed, 1000)
        channel = recording.faulty_channel
        healthy = make_dataset.make(seed, 1000, healthy=True).values[:-2, channel]
        damage = np.sqrt(np.maximum(recording.values[:-2, channel] ** 2 - healthy**2, 0.0))
        fall = 1.0 - damage / np.maximum(np.maximum.accumulate(damage), 1e-9)
        begin = recording.onset_row
        falls.append(fall[begin + (1000 - begin) // 4 :].max())
        assert fall[-1] < 0.01
    assert 0.2 < max(falls) < 0.6
    assert min(falls) < 0.01


def test_fault_falls_on_every_channel_in_turn() -> None:
    assert {make_dataset.make(seed, 100).faulty_channel for seed in range(40)} == {0, 1, 2, 3}


# The command line


def test_command_writes_the_recording_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "healthy.csv"
    arguments = ["--seed", "3", "--rows", "50", "--healthy", "--out", str(out)]
    assert make_dataset.main(arguments) == 0
    assert out.read_bytes() == text(3, 50, healthy=True).encode("ascii")
    assert "50 rows, seed 3, healthy" in capsys.readouterr().out


def test_command_says_where_the_fault_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_dataset.main(["--seed", "3", "--rows", "50", "--out", str(tmp_path / "a.csv")]) == 0
    recording = make_dataset.make(3, 50)
    fault = f"fault on sensor{recording.faulty_channel + 1} from row {recording.onset_row}"
    assert fault in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "-1"], "seed must not be negative, not -1"),
        (["--seed", "x"], "--seed: invalid int value: 'x'"),
        (["--rows", "19"], "rows must be 20 to 1000000, not 19"),
        (["--rows", "1000001"], "rows must be 20 to 1000000, not 1000001"),
        (["--row", "50"], "unrecognized arguments: --row 50"),
    ],
)
def test_wrong_arguments_end_with_one_line_and_exit_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "never.csv"
    with pytest.raises(SystemExit) as ended:
        make_dataset.main([*arguments, "--out", str(out)])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not out.exists()


def test_unwritable_output_ends_with_one_line_and_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for out in (tmp_path, tmp_path / "missing" / "a.csv"):
        assert make_dataset.main(["--rows", "50", "--out", str(out)]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert f"cannot write {out}: " in error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk to write to")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_to_a_full_disk_is_one_line(unbuffered: str, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, SCRIPT, "--rows", "500", "--out", tmp_path / "a.csv"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 1
    assert done.stderr == "make_dataset.py: cannot write the output: No space left on device\n"
    assert (tmp_path / "a.csv").exists()


def test_make_refuses_what_the_command_refuses() -> None:
    for seed, rows in ((-1, 100), (0, 19), (0, 1_000_001)):
        with pytest.raises(make_dataset.ArgumentsError):
            make_dataset.make(seed, rows)
