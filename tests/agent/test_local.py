"""The socket at which a running agent answers."""

import asyncio
import contextlib
import os
import pwd
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.processes import PATIENCE_S

from agent.local import RELEASE_SOCKET, SOCKET, answering, ask, obeying, order_release


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


# Orders


async def test_an_order_is_obeyed_once_and_says_who_gave_it(directory: Path) -> None:
    told: list[str] = []
    async with obeying(directory, lambda who: told.append(who) or b"done"):
        assert await asyncio.to_thread(order_release, directory, "ann\x1b[2J\nbob") == b"done"
        assert stat.S_IMODE((directory / RELEASE_SOCKET).stat().st_mode) == 0o600
    user = f"{pwd.getpwuid(os.geteuid()).pw_name} (uid {os.geteuid()})"
    assert told == [f"{user} for ann\\x1b[2J bob" if os.geteuid() == 0 else user]


@pytest.mark.parametrize("said", [b"", b"an", b"a" * 1000])
async def test_what_is_not_a_whole_order_is_not_obeyed(tmp_path: Path, said: bytes) -> None:
    told: list[str] = []
    async with obeying(tmp_path, lambda who: told.append(who) or b"done"):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / RELEASE_SOCKET))
        writer.write(said)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
    assert told == []


async def test_an_agent_that_has_ended_does_not_obey(tmp_path: Path) -> None:
    told: list[str] = []
    async with obeying(tmp_path, lambda who: told.append(who) or b"done"):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / RELEASE_SOCKET))
        writer.write(b"a")
        for _ in range(10):  # turns of the loop in which the other end reads it
            await asyncio.sleep(0)
    writer.write(b"nn\n")
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    assert told == []


async def test_the_order_of_one_who_has_left_is_not_obeyed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []
    async with obeying(tmp_path, lambda who: told.append(who) or b"done"):
        # The loop is held up meanwhile: the one who asks gives up.
        with pytest.raises(TimeoutError):
            order_release(tmp_path, "ann", 0.01)
        assert await asyncio.to_thread(order_release, tmp_path, "bob") == b"done"
    assert len(told) == 1
    assert "left before it was read: not obeyed" in caplog.text


async def test_an_order_in_pieces_is_one_order(tmp_path: Path) -> None:
    told: list[str] = []
    async with obeying(tmp_path, lambda who: told.append(who) or b"done"):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / RELEASE_SOCKET))
        for piece in (b"a", b"nn", b"\nagain\n\n"):
            writer.write(piece)
            for _ in range(10):  # turns of the loop in which the other end reads it
                await asyncio.sleep(0)
        assert await reader.read() == b"done"
        writer.close()
    assert len(told) == 1
