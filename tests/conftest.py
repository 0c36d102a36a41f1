"""What tests of more than one room share."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from support.processes import let_children_hang_up

let_children_hang_up()
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # as the command lines do


@pytest.fixture(scope="session")
def dataset() -> Path:
    """The shipped CSV: 982 rows."""
    return Path(__file__).parents[1] / "dataset" / "sensors.csv"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have what was logged be text that a worker can send, whatever a test fed to the log."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report
