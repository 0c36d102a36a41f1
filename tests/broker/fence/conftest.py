"""An empty database."""

import pytest
from support.postgres import Database, Server


@pytest.fixture
async def database(postgres: Server) -> Database:
    return await postgres.emptied()
