"""Tests that use real parts are told from pure ones, and none is taken for pure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.parts import door

ROOT = Path(__file__).parents[1]

SURPRISE = """
import pytest


def opens():
    __import__("sqlite3").connect(":memory:").close()


@pytest.fixture
def database():
    opens()


@pytest.fixture(scope="module")
def shared():
    yield
    opens()


def test_by_itself(): opens()
def test_by_a_fixture(database): pass
def test_with_a_failure_of_its_own():
    opens()
    raise ValueError
def test_before_the_end_of_a_fixture(shared): pass
def test_behind_it(): pass
@pytest.mark.real
def test_that_is_marked(database): opens()
"""


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import subprocess", "subprocess"),
        ("import os, socket", "socket"),
        ("from sqlite3 import connect", "sqlite3"),
        ("def test(): import grpc.aio", "grpc"),
        ("from agent import spool", "agent.spool"),
        ("from agent.spool.runs import size", "agent.spool"),
        ("import broker.recorder.sqlite.reader", "broker.recorder.sqlite"),
        ("from support.processes import Broker", "subprocess"),
        ("from support import processes", "subprocess"),
        ("from support.patience import PATIENCE_S", None),
        ("from agent.sampler import Sampler", None),
        ("import socketserver_of_ours", None),
    ],
)
def test_a_door_is_found_however_it_is_imported(line: str, found: str, tmp_path: Path) -> None:
    module = tmp_path / "test_it.py"
    module.write_text(f"from support.patience import PATIENCE_S\n{line}\n")
    assert door(module) == found


def test_a_test_that_uses_a_real_part_and_is_not_marked_fails(tmp_path: Path) -> None:
    (tmp_path / "test_surprise.py").write_text(SURPRISE)
    run = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-p", "conftest"]
    done = subprocess.run(
        [*run, "-rA", "-p", "no:xdist", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        check=False,
    )
    outcomes = {
        line.split("::")[1].split(" ")[0]: line.split(" ")[0]
        for line in done.stdout.splitlines()
        if line.startswith(("PASSED ", "FAILED "))
    }
    assert outcomes == {
        "test_by_itself": "FAILED",
        "test_by_a_fixture": "FAILED",
        "test_with_a_failure_of_its_own": "FAILED",
        "test_before_the_end_of_a_fixture": "PASSED",
        "test_behind_it": "PASSED",
        "test_that_is_marked": "PASSED",
    }
    assert done.stdout.count("uses a real part (sqlite3.connect)") >= 2, done.stdout
