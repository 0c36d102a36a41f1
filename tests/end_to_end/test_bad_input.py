"""What a user can get wrong: each is named, nothing is lost, and no traceback is shown."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import Agent, Broker, Running


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker("--predictor", "parity") as broker:
        yield broker


GOOD = b"0.1,0.2,0.3,0.4\n"


@pytest.mark.parametrize(
    ("content", "where", "answered"),
    [
        (GOOD * 2 + b"0.1,0.2,0.3\n", "line 3: expected 4 columns, got 3", 2),
        (GOOD * 2 + b"0.1,0.2,oops,0.4\n", "line 3, column 3: 'oops' is not a number", 2),
        (
            GOOD + b"0.1,\xff,0.3,0.4\n",
            "line 2, column 2: '\N{LATIN SMALL LETTER Y WITH DIAERESIS}'",
            1,
        ),
    ],
)
def test_a_malformed_csv_is_named_and_the_rows_before_it_are_answered(
    content: bytes, where: str, answered: int, broker: Broker, tmp_path: Path
) -> None:
    csv, table = tmp_path / "bad.csv", tmp_path / "predictions.csv"
    csv.write_bytes(content)
    with Agent(
        *("--simulate", str(csv), "--rate", "max", "--broker", broker.address),
        *("--bare", "--predictions", str(table)),
    ) as agent:
        assert agent.wait() == 1
    assert f"{csv}: {where}" in agent.stderr
    assert len(table.read_text().splitlines()) == answered
    assert "Traceback" not in agent.stderr


def test_a_file_without_rows_is_refused_before_anything_starts(tmp_path: Path) -> None:
    csv = tmp_path / "empty.csv"
    csv.touch()
    with Agent("--simulate", str(csv)) as agent:
        assert agent.wait() == 1
    assert agent.stderr.endswith(
        f"agent: {csv}: line 1: the file has no rows: expected numbers on each line"
    )


def test_a_row_that_is_still_being_written_is_left_out_and_said(
    broker: Broker, tmp_path: Path
) -> None:
    csv = tmp_path / "cut.csv"
    csv.write_bytes(GOOD * 3 + b"0.1,0.")
    with Agent("--simulate", str(csv), "--rate", "max", "--broker", broker.address) as agent:
        assert agent.wait() == 0
    assert f"{csv}: line 4: the last line is cut off, and is left out" in agent.stderr
    assert "predictions       3 " in agent.stdout


def test_100_mb_without_a_line_end_are_refused_at_once(broker: Broker, tmp_path: Path) -> None:
    csv = tmp_path / "garbage.csv"
    with csv.open("wb") as file:
        file.write(GOOD)
        file.truncate(100_000_000)
    with Agent("--simulate", str(csv), "--rate", "max", "--broker", broker.address) as agent:
        assert agent.wait() == 1
    assert f"{csv}: line 2: longer than 65536 bytes" in agent.stderr
    assert "predictions       1 " in agent.stdout


def test_predictions_never_overwrite_the_file_that_is_replayed(tmp_path: Path) -> None:
    csv = tmp_path / "mine.csv"
    csv.write_bytes(GOOD)
    with Agent("--simulate", str(csv), "--predictions", str(tmp_path / "." / "mine.csv")) as agent:
        assert agent.wait() == 2
    assert "--predictions would overwrite" in agent.stderr
    assert csv.read_bytes() == GOOD


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("    def predict(self, sample): raise SystemExit(0)", "SystemExit: 0"),
        ("    def predict(self, sample): return None", "predict() returned None, not a bool"),
        ("    pass", "is not a class with a method predict(sample)"),
    ],
)
def test_a_broken_black_box_is_refused_at_start_with_its_reason(
    body: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(f"class Box:\n{body}\n")
    with Running(["broker", "run", "--listen", "127.0.0.1:0", "--predictor", "mine:Box"]) as run:
        assert run.wait() == 2
    assert "predictor mine:Box: " in run.stderr
    assert reason in run.stderr
    assert "Traceback" not in run.stderr


def test_failed_readings_are_sent_and_answered(tmp_path: Path) -> None:
    csv, table = tmp_path / "nan.csv", tmp_path / "predictions.csv"
    csv.write_text("0.1,0.1,0.1,0.1\n0.1,,0.1,0.1\nnan,0.1,0.1,0.1\n0.1,0.1,inf,0.1\n")
    with (
        Broker("--predictor", "limits") as broker,
        Agent(
            *("--simulate", str(csv), "--rate", "max", "--broker", broker.address),
            *("--bare", "--predictions", str(table)),
        ) as agent,
    ):
        assert agent.wait() == 0
    assert table.read_text() == "0,0\n1,1\n2,1\n3,1\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["agent", "run"], 2, "no source of samples: give --simulate CSV"),
        (["agent", "run", "--loop"], 2, "agent run: error: --loop needs --simulate"),
        (["agent", "run", "--simulate", "x.csv", "--rate", "0"], 2, "0.0001 to 1000"),
        (["agent", "run", "--simulate", "x.csv", "--rate", "nan"], 2, "0.0001 to 1000"),
        (
            ["agent", "run", "--simulate", "x.csv", "--broker", "nowhere"],
            2,
            "broker.address: expected HOST:PORT",
        ),
        (["agent", "run", "--simulate", "x.csv", "--broker", "198.51.100.7:8061"], 2, "insecure"),
        (["agent", "run", "--simulate", "/no/such.csv"], 1, "/no/such.csv: cannot be read: No"),
        (["agent", "run", "--simulate", "/"], 1, "/: cannot be read: Is a directory"),
        (["agent", "run", "--config", "/no/such.toml"], 2, "/no/such.toml: cannot be read: No"),
        (["broker", "run", "--config", "/no/such.toml"], 2, "/no/such.toml: cannot be read: No"),
        (["broker", "run", "--listen", "0.0.0.0:0"], 2, "there is no [tls]"),
        (["broker", "run", "--listen", "127.0.0.1:99999"], 2, "expected HOST:PORT"),
        (["broker", "run", "--predictor", "oracle"], 2, "use chart, limits, onnx, parity"),
        (["broker", "run", "--predictor", "no_such_module:Box"], 2, "No module named"),
    ],
)
def test_wrong_use_is_named_and_nothing_is_started(
    arguments: list[str], code: int, message: str
) -> None:
    with Running(arguments) as command:
        assert command.wait() == code
    assert message in command.stderr
    assert "Traceback" not in command.stderr
    assert "listening" not in command.stderr


def test_everything_wrong_with_a_configuration_is_named_at_once(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(
        '[agent]\nid = "press 4"\n[link]\nwindow = "many"\nbackof_min_s = 1\n'
        "[sampling]\nrate_hz = 1e9\n"
    )
    with Running(["agent", "run", "--config", str(config), "--simulate", "x.csv"]) as command:
        assert command.wait() == 2
    for path in ("agent.id", "link.window", "link.backof_min_s", "sampling.rate_hz"):
        assert f"{config}: {path}: " in command.stderr


def test_predictions_that_cannot_be_written_are_refused_at_start(
    broker: Broker, dataset: Path, tmp_path: Path
) -> None:
    with Agent(
        *("--simulate", str(dataset), "--broker", broker.address),
        *("--predictions", str(tmp_path / "no" / "such.csv")),
    ) as agent:
        assert agent.wait() == 1
    assert "cannot be written: No such file or directory" in agent.stderr


def test_a_full_disk_under_the_predictions_is_said_and_the_run_fails(
    broker: Broker, dataset: Path
) -> None:
    with Agent(
        *("--simulate", str(dataset), "--rate", "max", "--broker", broker.address),
        *("--bare", "--predictions", "/dev/full"),
    ) as agent:
        assert agent.wait() == 1
    assert "/dev/full failed: [Errno 28] No space left on device" in agent.stderr
    assert "predictions       982 " in agent.stdout
    assert agent.stderr.count("No space left") == 2  # the first failure, and the close


def test_a_port_in_use_is_named(broker: Broker) -> None:
    with Running(["broker", "run", "--listen", broker.address]) as second:
        assert second.wait() == 1
    assert f"cannot listen on {broker.address}: the port is in use" in second.stderr
    assert "Traceback" not in second.stderr
