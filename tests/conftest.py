"""What tests of more than one room share."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from support import parts
from support.processes import let_children_be_signalled

let_children_be_signalled()
watch = parts.Watch()
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # as the command lines do


@pytest.fixture(scope="session")
def dataset() -> Path:
    """The shipped CSV: 982 rows."""
    return Path(__file__).parents[1] / "dataset" / "sensors.csv"


@pytest.fixture(scope="session")
def postgres() -> Iterator[object]:
    """A PostgreSQL server for all tests of this process that want one."""
    from support.postgres import running

    with running() as server:
        yield server


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use real parts."""
    for item in items:
        if parts.door(item.path):
            item.add_marker("real")


@pytest.hookimpl(tryfirst=True)  # before fixtures
def pytest_runtest_setup() -> None:
    """Forget what former tests used."""
    watch.take()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that uses a real part, by itself or by a fixture, and is not marked for it."""
    result = yield
    if (used := watch.take()) and not item.get_closest_marker("real"):
        pytest.fail(f"uses a real part ({', '.join(used)}), so mark it: @pytest.mark.real")
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have what was logged be text that a worker can send, whatever a test fed to the log."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report
