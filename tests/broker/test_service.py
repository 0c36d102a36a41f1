"""The service in process: what takes too long to wait for from outside."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from support.peers import plain_stream

from broker import service
from broker.access import Access
from broker.config import LimitsSettings
from broker.lines import Lines
from broker.predictors import BlackBox
from broker.predictors.parity import Parity
from broker.recorder.memory import MemoryRecorder
from wire.databroker_pb2 import BrokerRequest
from wire.metadata import StreamHeader

HEADER = StreamHeader("press-1", "0" * 32, 0, 1, 1)


@asynccontextmanager
async def serving(limits: LimitsSettings | None = None) -> AsyncIterator[str]:
    lines = Lines(BlackBox(Parity, ""), MemoryRecorder())
    access = Access(None, limits or LimitsSettings(), None)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((service.Service(lines, access).handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def test_an_agent_that_sends_no_first_sample_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "_FIRST_SAMPLE_S", 0.05)
    async with serving() as address, plain_stream(address, HEADER.to_metadata()) as call:
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert await call.details() == "no sample within 0.05 s"


async def test_after_its_first_sample_an_agent_may_take_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "_FIRST_SAMPLE_S", 1.0)
    async with serving() as address, plain_stream(address, HEADER.to_metadata()) as call:
        await call.write(BrokerRequest(id=0))
        assert (await call.read()).prediction
        monkeypatch.setattr(service, "_FIRST_SAMPLE_S", 0.0)
        await call.write(BrokerRequest(id=1))
        assert not (await call.read()).prediction


async def test_a_plain_peer_may_take_its_time_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_FIRST_SAMPLE_S", 0.0)
    async with serving() as address, plain_stream(address) as call:
        await call.wait_for_connection()
        await call.write(BrokerRequest(id=3))
        assert (await call.read()).id == 3


async def test_beyond_the_limit_a_stream_is_told_so_and_the_others_go_on() -> None:
    limits = LimitsSettings(streams=1)
    async with serving(limits) as address, plain_stream(address) as first:
        await first.write(BrokerRequest(id=2))
        assert (await first.read()).prediction
        async with plain_stream(address) as second:
            assert await second.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert await second.details() == "limits.streams is reached: 1"
        await first.write(BrokerRequest(id=4))
        assert (await first.read()).prediction
