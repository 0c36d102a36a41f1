"""The starter for other implementers, against our agent, our broker, and itself."""

import fcntl
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.patience import PATIENCE_S
from support.processes import Agent, Broker

ROOT = Path(__file__).parents[2]

# By parity, of the rows of the shipped CSV.
ANSWERS = [f"{number},{int(number % 2 == 0)}" for number in range(982)]


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the generator; one process at a time, as it makes an environment for its tools."""
    tools = Path(sys.prefix, "stubs")
    with Path(sys.prefix, "stubs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return subprocess.run(
            ["sh", ROOT / "proto" / "generate.sh", *arguments],
            env={**os.environ, "PYTHON": sys.executable, "STUBS_VENV": str(tools)},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("starter") / "mine"
    done = generate("--starter", str(directory))
    assert done.returncode == 0, done.stderr
    commands = re.findall(r"python (\w+\.py)", done.stdout)
    assert commands == ["server.py", "client.py"]
    assert all((directory / name).is_file() for name in commands)
    return directory


@pytest.fixture
def server(starter: Path) -> Iterator[str]:
    """The address of the starter's server."""
    with subprocess.Popen(
        [sys.executable, "server.py", "127.0.0.1:0"],
        cwd=starter,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            said = process.stdout.readline()
            yield said.removeprefix("listening on ").strip()
        finally:
            process.terminate()


def ask(starter: Path, address: str) -> subprocess.CompletedProcess[str]:
    """Run the starter's client."""
    return subprocess.run(
        [sys.executable, "client.py", address],
        cwd=starter,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def test_our_agent_streams_to_its_server(server: str, dataset: Path, tmp_path: Path) -> None:
    table = tmp_path / "predictions.csv"
    with Agent(
        *("--simulate", str(dataset), "--rate", "max"),
        *("--broker", server, "--bare", "--predictions", str(table)),
    ) as agent:
        assert agent.wait() == 0, agent.stderr
    assert table.read_text().split() == ANSWERS


def test_its_client_streams_to_our_broker(starter: Path) -> None:
    with Broker("--predictor", "parity") as broker:
        done = ask(starter, broker.address)
        assert broker.stop() == 0
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ANSWERS


def test_its_client_streams_to_its_server(starter: Path, server: str) -> None:
    done = ask(starter, server)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ANSWERS


def test_its_client_says_that_nobody_answers(starter: Path) -> None:
    done = ask(starter, "127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr.startswith("127.0.0.1:1: UNAVAILABLE: ")


def test_its_server_says_that_its_port_is_in_use(starter: Path, server: str) -> None:
    done = subprocess.run(
        [sys.executable, "server.py", server],
        cwd=starter,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"{server}: ")
    assert "Traceback" not in done.stderr


def test_its_requirements_are_ours_and_name_no_index(starter: Path) -> None:
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    lines = (starter / "requirements.txt").read_text("utf-8").splitlines()
    assert lines == [each for each in ours if each.startswith(("grpcio", "protobuf"))]


def test_files_that_are_there_are_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text("mine\n")
    done = generate("--starter", str(tmp_path))
    assert done.returncode == 2
    assert "name a new directory" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["server.py"]
    assert (tmp_path / "server.py").read_text() == "mine\n"
