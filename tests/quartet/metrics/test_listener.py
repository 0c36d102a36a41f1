"""The small HTTP server of /metrics, with real connections."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from support.clock import ManualClock
from support.patience import PATIENCE_S

from quartet.errors import PortError
from quartet.metrics.listener import Answers, Bounds, bound, serving
from quartet.metrics.settings import MetricsSettings

LOCAL = MetricsSettings(listen="127.0.0.1:0")


@asynccontextmanager
async def listener(
    metrics: Callable[[], str] = lambda: "x 1\n",
    trouble: Callable[[], str] = lambda: "",
    bounds: Bounds = Bounds(),  # noqa: B008 - frozen
) -> AsyncIterator[int]:
    """A listener; its port."""
    with bound(LOCAL) as sockets:
        async with serving(sockets, metrics, trouble, bounds):
            yield sockets[0].getsockname()[1]


async def said(port: int, request: bytes) -> bytes:
    """All that comes back on a connection of its own."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer


async def get(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    answer = await said(port, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    return int(head.split()[1]), body.decode()


async def test_the_three_paths_answer() -> None:
    async with listener() as port:
        assert await get(port, "/metrics") == (200, "x 1\n")
        assert await get(port, "/metrics?x=1") == (200, "x 1\n")
        assert await get(port, "/healthz") == (200, "ok\n")
        assert await get(port, "/readyz") == (200, "ready\n")
        assert (await get(port, "/"))[0] == 404


async def test_not_ready_says_why_with_foreign_text_escaped() -> None:
    async with listener(trouble=lambda: "disk\x1b[2J full") as port:
        assert await get(port, "/readyz") == (503, "not ready: disk\\x1b[2J full\n")
        assert (await get(port, "/healthz"))[0] == 200


async def test_head_has_the_head_alone() -> None:
    async with listener() as port:
        answer = await said(port, b"HEAD /metrics HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"Content-Length: 4\r\n" in answer
        assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"DELETE /metrics HTTP/1.1\r\n\r\n", 405),
        (b"\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"GET /metrics HTTP/2.0\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\n\n", 400),
        (b"GET /../etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 9000, 431),
    ],
)
async def test_a_bad_request_has_its_status(request_: bytes, status: int) -> None:
    async with listener() as port:
        answer = await said(port, request_)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert (await get(port, "/healthz"))[0] == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:9", "[::1]", "LOCALHOST:80"])
async def test_this_machine_may_be_named_in_each_way(host: str) -> None:
    async with listener() as port:
        assert (await get(port, "/metrics", host))[0] == 200


async def test_a_slow_request_holds_up_nobody() -> None:
    async with listener(bounds=Bounds(request_s=1e6)) as port:
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
        for _, writer in slow:
            writer.write(b"GET /met")
        assert (await get(port, "/metrics"))[0] == 200
        # Those beyond the limit were cut, the oldest first.
        async with asyncio.timeout(PATIENCE_S):
            for reader, _ in slow[:60]:
                assert await _rest(reader) == b""
        for _, writer in slow:
            writer.close()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_a_request_that_does_not_come_is_cut_in_time() -> None:
    async with listener(bounds=Bounds(request_s=0.05)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.1\r\n")
        async with asyncio.timeout(PATIENCE_S):
            assert await _rest(reader) == b""
        writer.close()


async def test_an_answer_that_nobody_takes_is_cut_in_time() -> None:
    """It is more than all sockets' buffers take."""
    text, send_s, asked = "x" * 50_000_000, 0.05, asyncio.Event()

    def metrics() -> str:
        asked.set()
        return text

    async with listener(metrics, bounds=Bounds(send_s=send_s)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2)
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(PATIENCE_S):
            await asked.wait()
            await asyncio.sleep(2 * send_s)  # a later timer of the same loop
            assert len(await _rest(reader)) < len(text)
        writer.close()
        assert (await get(port, "/healthz"))[0] == 200


async def test_who_is_connected_at_the_end_is_cut() -> None:
    async with listener() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET")
        await get(port, "/healthz")
    async with asyncio.timeout(PATIENCE_S):
        assert await _rest(reader) == b""
    writer.close()


async def test_a_failure_within_is_told_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> str:
        raise ZeroDivisionError

    async with listener(broken) as port:
        assert await get(port, "/metrics") == (500, "internal error\n")
        assert "please report it" in caplog.text
        assert (await get(port, "/healthz"))[0] == 200


def test_figures_are_gathered_at_most_four_times_a_second() -> None:
    clock, told = ManualClock(), iter("123")
    answers = Answers(lambda: next(told), lambda: "", clock=clock)
    seen = []
    for later_s in (0.0, 0.2, 0.1, 0.2, 0.1):
        clock.advance(later_s)
        seen.append(answers.answer(b"GET /metrics HTTP/1.1\r\n\r\n")[-1:])
    assert seen == [b"1", b"1", b"2", b"2", b"3"]


def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        where = f"127.0.0.1:{other.getsockname()[1]}"
        told = f"metrics.listen: cannot listen on {where}: .*in use"
        with pytest.raises(PortError, match=told), bound(MetricsSettings(listen=where)):
            pass


def test_an_address_of_another_machine_is_told() -> None:
    other = MetricsSettings(listen="192.0.2.1:0", insecure=True)
    with pytest.raises(PortError, match="choose an address of this machine"), bound(other):
        pass


@pytest.mark.parametrize("host", ["a..b", "a" * 64])
def test_a_name_that_no_host_can_have_is_told(host: str) -> None:
    wrong = MetricsSettings(listen=f"{host}:0", insecure=True)
    with pytest.raises(PortError, match="no host can have this name"), bound(wrong):
        pass


def test_without_an_address_nothing_listens() -> None:
    with bound(MetricsSettings()) as sockets:
        assert not sockets
