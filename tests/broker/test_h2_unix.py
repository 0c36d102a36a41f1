"""A broker that listens on a socket in the file system."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from support.patience import PATIENCE_S

from broker.errors import ListenError
from broker.healthcheck import problem
from broker.transport import Call, Health
from broker.transport.h2.transport import H2Transport
from quartet.address import UnixAddress
from wire import METHOD_PATH


@pytest.fixture
def address(tmp_path: Path) -> UnixAddress:
    return UnixAddress(str(tmp_path / "broker.sock"))


async def tell_peer(call: Call) -> None:
    await call.write([call.peer.encode()])


def is_there(address: UnixAddress) -> bool:
    return Path(address.path).is_socket()


@asynccontextmanager
async def served(address: UnixAddress) -> AsyncIterator[H2Transport]:
    transport = H2Transport(address, None)
    assert await transport.start({METHOD_PATH: tell_peer}) == 0
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield transport
    finally:
        await transport.stop(0.0)


async def test_a_call_comes_in_and_is_named_by_its_process(address: UnixAddress) -> None:
    async with served(address), grpc.aio.insecure_channel(str(address)) as channel:
        call = channel.stream_stream(METHOD_PATH)()
        assert await call.read() == b"unix:%d" % os.getpid()
    assert not is_there(address)


async def test_the_health_check_asks_there(address: UnixAddress) -> None:
    async with served(address) as transport:
        assert await asyncio.to_thread(problem, address) == (f"{address}: NOT_SERVING")
        await transport.show(Health.SERVING)
        assert await asyncio.to_thread(problem, address) == ""
    assert problem(address).startswith(f"{address}: ")


async def test_the_socket_of_a_broker_that_was_killed_is_taken_over(address: UnixAddress) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(address.path)
    async with served(address):
        assert is_there(address)


async def test_the_socket_of_a_broker_that_runs_is_left(
    address: UnixAddress,
) -> None:
    async with served(address):
        with pytest.raises(
            ListenError, match=f"cannot listen on {address}: Address already in use"
        ):
            await H2Transport(address, None).start({})
    assert not is_there(address)


async def test_a_file_that_is_something_else_is_left(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("something else")
    with pytest.raises(ListenError, match="Address already in use"):
        await H2Transport(UnixAddress(str(file)), None).start({})
    assert file.read_text() == "something else"
