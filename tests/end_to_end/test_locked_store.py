"""Another program holds the store of a running broker locked: nothing else stands still."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.chain import Chain
from support.patience import PATIENCE_S
from support.peers import plain_stream
from support.processes import Broker
from support.store import expected, sample, select

from broker.model import Answer
from quartet.database import BUSY_S
from wire.databroker_pb2 import BrokerRequest
from wire.metadata import StreamHeader

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    return tmp_path / "broker.db"


def request(id_: int) -> BrokerRequest:
    one, two, three, four = sample(id_).values
    return BrokerRequest(id=id_, sensor1=one, sensor2=two, sensor3=three, sensor4=four)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


def stream(
    address: str, first_id: int = 0
) -> contextlib.AbstractAsyncContextManager[grpc.aio.StreamStreamCall]:
    return plain_stream(address, StreamHeader("a", "0" * 32, first_id, 0, 1000).to_metadata())


async def ask(call: grpc.aio.StreamStreamCall, id_: int) -> Answer:
    await call.write(request(id_))
    response = await call.read()
    assert response is not grpc.aio.EOF
    return Answer(response.id, response.prediction)


async def healths(address: str, until: int) -> None:
    """Ask for the health until it is this; each question is answered while the lock is held."""
    async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(PATIENCE_S):
        stub = health_pb2_grpc.HealthStub(channel)
        while True:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=BUSY_S / 2)
            if answer.status == until:
                return
            await asyncio.sleep(0.05)


async def test_a_lock_of_five_seconds_holds_only_answers_and_is_told(path: Path) -> None:
    with Broker("--predictor", "support.chain:Chain", "--store", str(path)) as broker:
        box = Chain()
        async with stream(broker.address) as call:
            assert [await ask(call, id_) for id_ in range(3)] == expected(box, range(3))
            with locked(path):
                await call.write(request(3))
                await healths(broker.address, NOT_SERVING)
                assert await call.code() is grpc.StatusCode.UNAVAILABLE
                assert "database is locked" in (await call.details() or "")
        await healths(broker.address, SERVING)
        async with stream(broker.address, 2) as call:
            assert [await ask(call, id_) for id_ in range(2, 5)][1:] == expected(box, [3, 4])
        assert await asyncio.to_thread(broker.stop) == 0
    assert select(path, "SELECT id FROM samples") == [(id_,) for id_ in range(5)]


async def test_a_broker_stops_while_its_store_is_locked(path: Path) -> None:
    with Broker("--predictor", "support.chain:Chain", "--store", str(path)) as broker:
        async with stream(broker.address) as call:
            await ask(call, 0)
            await ask(call, 1)
            with locked(path):
                await call.write(request(2))
                await healths(broker.address, NOT_SERVING)
                assert await asyncio.to_thread(broker.stop) == 0
    assert select(path, "SELECT id FROM samples") == [(0,), (1,)]
