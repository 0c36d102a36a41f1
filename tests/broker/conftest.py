import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.clock import ManualClock


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory, and imports that leave no trace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged as an error so far."""
    caplog.set_level(logging.ERROR)
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture(scope="session", params=["file", "database"])
def new_place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Awaitable[Any]]:
    """Makes an empty store, of each kind."""
    from support.read import File, Tables

    if request.param == "file":

        async def on_disk() -> File:
            return File(tmp_path_factory.mktemp("store"))

        return on_disk
    server = request.getfixturevalue("postgres")

    async def in_database() -> Tables:
        return Tables(await server.emptied())

    return in_database


@pytest.fixture
async def place(new_place: Callable[[], Awaitable[Any]]) -> AsyncIterator[Any]:
    """An empty store, of each kind."""
    place = await new_place()
    yield place
    await place.close()


@pytest.fixture
async def site(place: Any) -> AsyncIterator[Any]:
    """A broker that runs over a store of each kind."""
    async with place.running() as site:
        yield site


@pytest.fixture
async def on_disk(tmp_path: Path) -> AsyncIterator[Any]:
    """One whose file a test damages."""
    from support.read import File

    async with File(tmp_path).running() as site:
        yield site


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a store that is not there yet."""
    return tmp_path / "broker.db"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
