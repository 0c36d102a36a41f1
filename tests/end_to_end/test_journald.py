"""Predictions in a real journald, read back with journalctl."""

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from support.processes import Broker

pytest.importorskip(
    "systemd.journal", reason="systemd-python is not installed: see tests/debian.sh"
)

PRIVATE = ["sh", str(Path(__file__).parents[1] / "support" / "journald.sh")]
READ = "journalctl --sync && journalctl --output=json --all AGENT_ID=$TOKEN"


@pytest.fixture(scope="module", autouse=True)
def _namespaces() -> None:
    probe = subprocess.run([*PRIVATE, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"no private journald: needs root or user namespaces ({probe.stderr.strip()})")


def entries_of(script: str, csv: Path, tmp_path: Path, extra: str = "") -> list[dict[str, str]]:
    """Run the agent by a shell script beside a journald; give back the agent's entries."""
    config = tmp_path / "agent.toml"
    config.write_text(f'[agent]\nid = "journal-test"\n{extra}')
    with Broker("--predictor", "limits") as broker:
        done = subprocess.run(
            [*PRIVATE, "sh", "-euc", f"{script}\n{READ}"],
            env={
                "PATH": "/usr/bin:/bin",
                "TOKEN": "journal-test",
                "AGENT": f"{sys.executable} -m agent run --config {config} --simulate {csv}"
                f" --rate max --broker {broker.address}",
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_each_prediction_is_one_entry_with_its_fields(dataset: Path, tmp_path: Path) -> None:
    entries = entries_of("$AGENT --journal >/dev/null", dataset, tmp_path)
    assert [int(entry["SAMPLE_ID"]) for entry in entries] == list(range(982))
    assert {entry["SESSION_ID"] for entry in entries} == {entries[0]["SESSION_ID"]}
    assert sum(entry["PREDICTION"] == "1" for entry in entries) == 96
    assert all((e["PRIORITY"], e["PREDICTION"]) in {("6", "0"), ("4", "1")} for e in entries)
    first = entries[0]
    row = [float(cell) for cell in dataset.read_text().splitlines()[0].split(",")[1:]]
    assert [float(first[f"SENSOR{n}"]) for n in (1, 2, 3, 4)] == pytest.approx(row, rel=1e-6)
    assert first["MESSAGE"].startswith("sample 0: False  0.0995")
    assert first["SYSLOG_IDENTIFIER"] == "agent"
    assert datetime.fromisoformat(first["SAMPLED_AT"]).utcoffset() is not None
    assert int(first["ROUND_TRIP_US"]) > 0
    assert "CODE_ARGS" not in first


def test_only_changes_are_logged_where_this_is_configured(dataset: Path, tmp_path: Path) -> None:
    entries = entries_of(
        "$AGENT --journal >/dev/null", dataset, tmp_path, '[journal]\npredictions = "changes"\n'
    )
    assert [(entry["SAMPLE_ID"], entry["PREDICTION"]) for entry in entries] == [
        ("0", "0"),
        ("884", "1"),
        ("980", "0"),
    ]


def test_a_service_logs_to_the_journal_without_being_asked(dataset: Path, tmp_path: Path) -> None:
    under_systemd = (
        "systemd-cat sh -c 'JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) exec $AGENT'"
    )
    entries = entries_of(under_systemd, dataset, tmp_path)
    assert len(entries) == 982
    assert {entry["_TRANSPORT"] for entry in entries} == {"journal"}
