"""Stores of each kind that a test fills, for the console to read."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest

NewPast = Callable[..., Awaitable[Any]]

_KINDS = ["new_file", "new_database"]


@pytest.fixture
def new_file(tmp_path: Path) -> Iterator[NewPast]:
    """Makes an empty store that is a file."""
    from support.past import Past

    with ExitStack() as undo:

        async def made(host: str = "1.2.3.4") -> Past:
            folder = tmp_path / f"store of {host}"
            folder.mkdir()
            past = Past(folder / "broker.db", host)
            undo.callback(past.close)
            return past

        yield made


@pytest.fixture
async def new_database(postgres: Any) -> AsyncIterator[NewPast]:
    """Makes an empty store that is a database."""
    from support.past_tables import PastTables

    async with AsyncExitStack() as undo:

        async def made(host: str = "1.2.3.4") -> PastTables:
            database = await postgres.create()
            undo.push_async_callback(database.drop)
            await database.prepare()
            past = PastTables(database, host)
            undo.push_async_callback(past.close)
            return past

        yield made


@pytest.fixture(params=_KINDS)
def new_past(request: pytest.FixtureRequest) -> Any:
    """Makes an empty store, of each kind; each is another one."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=[_KINDS, _KINDS[::-1]], ids=["to a database", "to a file"])
def new_kinds(request: pytest.FixtureRequest) -> list[Any]:
    """Makes an empty store of each kind, and one of the other kind."""
    return [request.getfixturevalue(kind) for kind in request.param]


@pytest.fixture
async def past(new_past: NewPast) -> Any:
    """An empty store, of each kind."""
    return await new_past()


@pytest.fixture
def file_past(tmp_path: Path) -> Iterator[Any]:
    """An empty store that is a file, for what happens to files alone."""
    from support.book import stored

    with stored(tmp_path) as past:
        yield past
