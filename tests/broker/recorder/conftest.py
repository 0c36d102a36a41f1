"""A recorder of every kind."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
from support.recorders import BACKENDS, Backend, InDatabase, opened

from broker.recorder import Recorder


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Backend:
    """Makes records of one kind, which are in a folder if they are in files."""
    if request.param is InDatabase:
        return partial(InDatabase, request.getfixturevalue("postgres"))
    return request.param


@pytest.fixture(params=BACKENDS)
async def recorder(request: pytest.FixtureRequest) -> AsyncIterator[Recorder]:
    backend = request.param
    if backend is InDatabase:
        backend = partial(InDatabase, request.getfixturevalue("postgres"))
    async with opened(backend) as recorder:
        yield recorder
