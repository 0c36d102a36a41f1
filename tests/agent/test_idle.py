"""A connection that is closed between slow samples: nothing was on its way."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.clock import ManualClock
from support.links import Tried
from support.peers import Peer, Proxy, scripted_broker

from agent.state import LinkState
from quartet.address import Address


@asynccontextmanager
async def streaming(clock: ManualClock) -> AsyncIterator[tuple[Tried, Proxy]]:
    """A link that has its first answer, behind a proxy that cuts."""
    async with (
        scripted_broker(Peer.echo) as port,
        Proxy(port).serving() as (proxy, via),
        Tried(Address("127.0.0.1", via), clock=clock) as tried,
    ):
        await tried.until(lambda: tried.predictions)
        yield tried, proxy


async def test_a_cut_of_an_idle_connection_is_no_trouble(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "agent.link")
    clock = ManualClock()
    async with streaming(clock) as (tried, proxy):
        for cuts in (1, 2, 3):
            clock.advance(60.0)
            proxy.cut()
            await tried.until(lambda cuts=cuts: caplog.text.count("an idle connection") == cuts)
            assert tried.link.state is LinkState.STREAMING
            tried.outbox.put()
            await tried.until(lambda cuts=cuts: len(tried.predictions) == cuts + 1)
        assert proxy.connections == 4
        assert tried.link.reconnects == 0
        assert not tried.link.trouble
    said = [record for record in caplog.records if record.name == "agent.link"]
    assert all(record.levelno <= logging.INFO for record in said)
    assert caplog.text.count("streaming to") == 1


async def test_a_cut_soon_after_an_answer_is_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    async with streaming(ManualClock()) as (tried, proxy):
        proxy.cut()
        assert await tried.trouble()
    assert "no connection to" in caplog.text


async def test_a_broker_that_is_gone_after_an_idle_cut_is_an_outage_of_the_next_sample(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "agent.link")
    clock = ManualClock()
    async with streaming(clock) as (tried, proxy):
        clock.advance(60.0)
        proxy.to_port = 1
        proxy.cut()
        await tried.until(lambda: "an idle connection" in caplog.text)
        assert not tried.link.trouble
        tried.outbox.put()
        assert await tried.trouble()
        assert tried.link.state is LinkState.WAITING
