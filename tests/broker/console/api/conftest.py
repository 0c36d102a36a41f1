"""A console with two agents, and one with odd numbers."""

from collections.abc import AsyncIterator

import pytest
from support.chain import Chain
from support.console import Served, make_store, served
from support.store import header, send_on
from support.stores import lines_of

from broker.config import Store
from broker.model import Sample

INFINITY = float("inf")


@pytest.fixture(scope="module", params=["file", "database"])
async def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    directory = tmp_path_factory.mktemp("api")
    store: Store = directory / "broker.db"
    if request.param == "database":
        store = (await request.getfixturevalue("postgres").create()).url
    await make_store(store, ["a", "b.2"], samples=1200)
    nan = float("nan")
    odd = [(nan, nan, nan, nan), (INFINITY, -INFINITY, 1 / 3, 1e-30)] * 3
    async with lines_of(store, Chain) as lines:
        stream = await lines.open(header(0, 9, "odd", at_ns=10**18, period_ns=10**8))
        with stream:
            await send_on(stream, [Sample(id_, values) for id_, values in enumerate(odd)])
    async with served(directory, store=store) as site:
        while await site.console.book.feed(site.console.reader):
            pass
        yield site
