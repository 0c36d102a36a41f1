"""The wheel, installed bare outside the checkout: what a Pi, and what a broker's host gets."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]

# Runs a command line and writes down every module that it imported.
SPY = """
import sys
from {package}.__main__ import main
code = main(sys.argv[2:])
open(sys.argv[1], "w").write("\\n".join(sys.modules))
sys.exit(code)
"""

PI_ONLY = {"adafruit_ads1x15", "adafruit_extended_bus", "board", "gpiozero", "lgpio", "tomlkit"}
JOURNALD = {"systemd"}
TERMINAL = {"rich"}
BROKERS = {"broker", "h2", "hpack", "hyperframe", "uvloop"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT))
    (wheel,) = out.glob("*.whl")
    return wheel


def run(*command: str, **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done


def install(wheel: Path, extra: str, venv: Path) -> Path:
    """Install it for a Python of its own, by the pip of ours; nothing is compiled ahead."""
    run(sys.executable, "-m", "venv", "--without-pip", str(venv))
    python = venv / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    run(
        *pip, "install", "--quiet", "--disable-pip-version-check", "--no-compile", f"{wheel}{extra}"
    )
    return python


def start(python: Path, package: str, modules: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(python), "-c", SPY.format(package=package), str(modules), *arguments],
        cwd=modules.parent,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.timeout(900)  # it downloads what is not in pip's cache
def test_the_bare_wheel_runs_the_simulation_and_imports_no_other_hosts_library(
    wheel: Path, dataset: Path, tmp_path: Path
) -> None:
    agent_python = install(wheel, "", tmp_path / "agent-venv")
    broker_python = install(wheel, "[broker]", tmp_path / "broker-venv")
    agents, brokers, table = tmp_path / "a", tmp_path / "b", tmp_path / "predictions.csv"
    with start(broker_python, "broker", brokers, "run", "--listen", "127.0.0.1:0") as broker:
        try:
            listening = broker.stderr.readline()
            address = listening.split("listening on ")[1].split(",")[0]
            with start(
                *(agent_python, "agent", agents, "run", "--simulate", str(dataset)),
                *("--rate", "max", "--broker", address, "--bare", "--predictions", str(table)),
            ) as agent:
                agent.communicate(timeout=PATIENCE_S)
            assert agent.returncode == 0
        finally:
            broker.terminate()
            broker.communicate(timeout=PATIENCE_S)
    assert broker.returncode == 0
    assert table.read_text().count("\n") == 982

    imported = {module.partition(".")[0] for module in agents.read_text().splitlines()}
    assert {"agent", "wire", "grpc"} <= imported
    assert not imported & (PI_ONLY | JOURNALD | TERMINAL | BROKERS)
    whole = brokers.read_text().splitlines()
    assert not {"importlib.metadata", "broker.recorder.sqlite.upkeep"} & {*whole}  # they cost 3 MB
    imported = {module.partition(".")[0] for module in whole}
    assert {"broker", "wire", "h2"} <= imported
    assert not imported & (PI_ONLY | JOURNALD | TERMINAL | {"agent", "grpc"})


def test_the_wheel_holds_the_four_packages_and_what_is_read_beside_them(wheel: Path) -> None:
    listed = run(sys.executable, "-m", "zipfile", "-l", str(wheel)).stdout.splitlines()[1:]
    tops = {line.split("/")[0] for line in listed}
    tops = {top for top in tops if not top.endswith((".dist-info", ".data"))}
    assert tops == {"agent", "broker", "quartet", "wire"}
    shared = {line.split(".data/data/")[1].split()[0] for line in listed if ".data/" in line}
    examples = "share/doc/quartet/examples"
    assert shared >= {
        *(f"{examples}/agent.example.toml", f"{examples}/broker.example.toml"),
        *("share/man/man1/agent.1", "share/man/man1/broker.1"),
        "share/doc/quartet/systemd/agent.service",
    }
