"""The socket at which a running agent answers."""

import asyncio
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.processes import PATIENCE_S

from agent.local import SOCKET, answering, ask


@pytest.fixture(params=["short", "long"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """One whose socket has an address that fits, or one that is too long for any address."""
    directory = tmp_path
    if request.param == "long":
        directory = tmp_path / ("d" * 120) / ("e" * 120)
        directory.mkdir(parents=True)
    yield directory
    assert not (directory / SOCKET).exists()


async def test_each_who_asks_gets_the_document_of_the_moment(directory: Path) -> None:
    documents = iter([b"one", b"two"])
    async with answering(directory, lambda: next(documents)):
        assert await asyncio.to_thread(ask, directory) == b"one"
        assert await asyncio.to_thread(ask, directory) == b"two"
    with pytest.raises(FileNotFoundError):
        ask(directory)


async def test_only_the_user_of_the_process_can_ask(directory: Path) -> None:
    before = os.umask(0)
    try:
        async with answering(directory, lambda: b""):
            assert stat.S_IMODE((directory / SOCKET).stat().st_mode) == 0o600
    finally:
        os.umask(before)


async def test_the_socket_of_an_agent_that_died_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / SOCKET))
    with pytest.raises(ConnectionRefusedError):
        ask(tmp_path)
    async with answering(tmp_path, lambda: b"alive"):
        assert await asyncio.to_thread(ask, tmp_path) == b"alive"


async def test_those_who_connect_and_say_or_read_nothing_hold_up_nobody(tmp_path: Path) -> None:
    async with answering(tmp_path, lambda: b"x" * 8000):
        idle = [socket.socket(socket.AF_UNIX) for _ in range(50)]
        try:
            for each in idle:
                await asyncio.to_thread(each.connect, str(tmp_path / SOCKET))
            assert len(await asyncio.to_thread(ask, tmp_path)) == 8000
        finally:
            for each in idle:
                each.close()


async def test_who_asks_an_agent_that_cannot_tell_is_not_kept_waiting(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    failures: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: failures.append(context))
    try:
        async with answering(tmp_path, lambda: bytes(-1)):
            with pytest.raises(ConnectionAbortedError):
                await asyncio.to_thread(ask, tmp_path, PATIENCE_S)
    finally:
        loop.set_exception_handler(None)
    assert [type(each["exception"]) for each in failures] == [ValueError]


async def test_a_directory_without_a_place_for_it_is_logged_and_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with answering(tmp_path / "gone", lambda: b""):
        pass
    (message,) = caplog.messages
    assert message.startswith("'agent status' cannot ask this agent: ")
    assert message.endswith("No such file or directory")


def test_an_agent_that_hangs_is_not_waited_for_long(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(tmp_path / SOCKET))
        hanging.listen()
        with pytest.raises(TimeoutError):
            ask(tmp_path, 0.05)
