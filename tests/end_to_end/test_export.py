"""What a broker has recorded goes out, and comes back the same: by the commands that people use."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from support.postgres import Server
from support.processes import Agent, Broker

ROOT = Path(__file__).parents[2]
RECORDING = ROOT / "dataset" / "sensors.csv"


def broker(*arguments: str, code: int = 0, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """A command of the broker that ends by itself."""
    done = subprocess.run(
        [sys.executable, "-m", "broker", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def stream(store: str, path: Path = RECORDING, *more: str) -> None:
    """Have an agent send a recording to a broker with this store."""
    with (
        Broker("--store", store) as served,
        Agent(
            *("--simulate", str(path), "--rate", "max", "--agent-id", "press-4", *more),
            *("--broker", served.address),
        ) as agent,
    ):
        assert agent.wait() == 0
        assert served.stop() == 0


def cells(path: Path, *names: str) -> list[tuple[str, ...]]:
    with path.open(newline="") as file:
        return [tuple(row[name] for name in names) for row in csv.DictReader(file)]


SENSORS = ("sensor1", "sensor2", "sensor3", "sensor4", "prediction")


@pytest.fixture(params=["file", "database"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a broker keeps its records."""
    if request.param == "file":
        return str(tmp_path / "broker.db")
    server: Server = request.getfixturevalue("postgres")
    return (await server.create()).url


def test_an_export_is_evaluated_and_simulated_with_the_same_values_and_predictions(
    store: str, tmp_path: Path
) -> None:
    stream(store)
    out, evaluated = tmp_path / "press-4.csv", tmp_path / "evaluated.csv"
    told = broker("export", "press-4", str(out), "--store", store).stderr
    assert told == f"{out}: 982 samples of press-4\n"
    exported = cells(out, *SENSORS)
    assert len({prediction for *_, prediction in exported}) == 2
    broker("evaluate", str(out), "--out", str(evaluated))
    assert cells(evaluated, *SENSORS) == exported
    assert cells(evaluated, "time") == cells(out, "time")
    again = tmp_path / "again.csv"
    stream(str(tmp_path / "again.db"), out)
    broker("export", "press-4", str(again), "--store", str(tmp_path / "again.db"))
    assert cells(again, *SENSORS) == exported


def test_an_incident_of_a_real_run_is_replayed_bit_for_bit(store: str, tmp_path: Path) -> None:
    stream(store)
    broker("incident", "press-4", "--around", "644", "i.zip", "--store", store, cwd=tmp_path)
    done = broker("replay", "i.zip", cwd=tmp_path)
    assert done.stdout.startswith("incident of press-4, sample 644 at ")
    assert "bit-exact: all 982 predictions, 338 of them True" in done.stdout
    other = broker("replay", "i.zip", "--predictor", "parity", cwd=tmp_path, code=1)
    assert "parity is not the recorded predictor" in other.stdout
    assert "of 982 predictions differ" in other.stdout


def test_standard_output_has_the_rows_alone(tmp_path: Path) -> None:
    store = str(tmp_path / "broker.db")
    stream(store)
    done = broker("export", "press-4", "-", "--format", "jsonl", "--store", store)
    assert done.stdout.count("\n") == 982
    assert done.stdout.startswith('{"time":"')
    assert done.stderr == "982 samples of press-4\n"


def test_times_beyond_all_records_are_taken_as_they_are_meant(store: str, tmp_path: Path) -> None:
    stream(store, RECORDING)
    out, ends = tmp_path / "a.csv", ("--from", "1066-10-14", "--to", "9999-12-31")
    broker("export", "press-4", str(out), "--store", store, *ends)
    assert len(out.read_text().splitlines()) == 1 + len(RECORDING.read_text().splitlines())
    for around in ("1066-10-14", "9999-12-31"):
        told = broker(
            *("incident", "press-4", str(tmp_path / "i.zip"), "--around", around),
            *("--store", store),
            code=1,
        )
        assert told.stderr.startswith("broker: press-4: no samples were taken from ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "a", "a.txt"], "its ending tells no format: give --format"),
        (["export", "a", "a.csv", "--from", "2026-01-02", "--to", "2026-01-01"], "--from must be"),
        (["export", "a", "a.csv", "--from", "soon"], "expected a time such as"),
        (["export", "a", "none/a.csv"], "there is no directory none"),
        (["incident", "a", "a.zip", "--around", "soon"], "the id of a sample, or a time"),
        (["incident", "a", "a.zip", "--around", "2026-01-01", "--session", "0"], "--session needs"),
        (["incident", "a", "a.zip", "--around", "5", "--minutes", "0"], "expected a number up to"),
        (["incident", "a", "-", "--around", "5"], "cannot be written to standard output"),
    ],
)
def test_wrong_use_is_told_and_writes_nothing(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = broker(*arguments, "--store", "broker.db", code=2, cwd=tmp_path)
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []
