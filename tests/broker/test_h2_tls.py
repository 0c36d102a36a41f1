"""TLS of the transport by h2: who is let in, and what the log says of the others."""

import asyncio
import logging
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event, StreamEnded
from support.certificates import Ca, Files
from support.clock import ManualClock
from support.patience import PATIENCE_S

from broker.config import TlsSettings
from broker.credentials import Credentials
from broker.errors import ListenError
from broker.transport import Call, Handler
from broker.transport.h2.connection import read_buffer
from broker.transport.h2.machine import GREETING
from broker.transport.h2.messages import framed
from broker.transport.h2.peer_log import PeerLog
from broker.transport.h2.transport import H2Transport, Limits
from quartet.address import Address
from quartet.certificates import Certificate
from wire import METHOD_PATH

Said = Callable[[str], Awaitable[None]]


class Plant:
    def __init__(self, directory: Path) -> None:
        self.ca = Ca(directory)
        self.files = self.ca.broker()
        self.credentials = Credentials(
            TlsSettings(
                str(self.files.certificate), str(self.files.key), client_ca=str(self.ca.path)
            )
        )

    def client(self, files: Files | None, trusted: Path | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(trusted or self.ca.path))
        context.set_alpn_protocols(["h2"])
        if files:
            context.load_cert_chain(files.certificate, files.key)
        return context


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Said:
    """Wait until the log has said something."""
    caplog.set_level(logging.INFO)

    async def wait(text: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while text not in caplog.text:  # noqa: ASYNC110 - a log tells nobody
                await asyncio.sleep(0.01)

    return wait


@asynccontextmanager
async def served(
    plant: Plant, limits: Limits | None = None, handlers: Mapping[str, Handler] | None = None
) -> AsyncIterator[int]:
    """The port of a broker with this certificate, while entered."""
    transport = H2Transport(
        Address("127.0.0.1", 0), plant.credentials, limits or Limits(handshake_s=PATIENCE_S)
    )
    port = await transport.start(handlers or {})
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield port
    finally:
        await transport.stop(0.0)


@asynccontextmanager
async def connected(
    port: int, context: ssl.SSLContext | None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    name = "127.0.0.1" if context else None
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=name
    )
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def is_let_in(port: int, context: ssl.SSLContext) -> bool:
    """Whether the broker speaks HTTP/2 to it."""
    return await asyncio.to_thread(_is_let_in, port, context)


def _is_let_in(port: int, context: ssl.SSLContext) -> bool:
    """By a socket that blocks: it tells the broker why it does not trust it, and then closes."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE_S) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
        ):
            return bool(secured.recv(1))
    except OSError:
        return False


async def test_an_agent_of_the_authority_is_let_in_and_others_are_told_of(
    plant: Plant, said: Said, tmp_path: Path
) -> None:
    other = Ca(tmp_path, "other")
    async with served(plant) as port:
        assert await is_let_in(port, plant.client(plant.ca.issue("a")))
        assert not await is_let_in(port, plant.client(None))
        await said("TLS failed: it shows no certificate, and this broker requires one")
        assert not await is_let_in(port, plant.client(other.issue("b")))
        await said("TLS failed: its certificate is refused: ")
        expired = plant.ca.issue("c", from_days=-9, days=-1)
        assert not await is_let_in(port, plant.client(expired))
        await said("TLS failed: its certificate is refused: certificate has expired")
        assert not await is_let_in(port, plant.client(plant.ca.issue("d"), other.path))
        await said("TLS failed: it does not trust the authority of this broker's certificate")
        assert await is_let_in(port, plant.client(plant.ca.issue("e")))


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "it speaks HTTP without TLS"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "it does not speak TLS"),
        (b"", "it closed the connection"),
    ],
)
async def test_who_does_not_speak_tls_is_told_of_with_its_address(
    sent: bytes, told: str, plant: Plant, said: Said, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(plant) as port:
        async with connected(port, None) as (reader, writer):
            host, own_port = writer.get_extra_info("sockname")
            writer.write(sent)
            writer.write_eof()
            with suppress(ConnectionError):
                await reader.read()
        await said(f"{host}:{own_port}: TLS failed: {told}")
    assert "Traceback" not in caplog.text


async def test_who_says_nothing_is_left_in_time(plant: Plant, said: Said) -> None:
    async with served(plant, Limits(handshake_s=0.2)) as port:
        async with connected(port, None) as (reader, _):
            assert await reader.read() == b""
        await said("TLS failed: it did not end the handshake in time")


async def test_of_too_many_handshakes_the_oldest_goes_and_agents_are_let_in(plant: Plant) -> None:
    async with (
        served(plant, Limits(handshake_s=PATIENCE_S, handshakes=3)) as port,
        AsyncExitStack() as held,
    ):
        readers = [(await held.enter_async_context(connected(port, None)))[0] for _ in range(5)]
        assert await is_let_in(port, plant.client(plant.ca.issue("a")))
        for reader in readers[:3]:
            with suppress(ConnectionError):
                assert await reader.read() == b""
        assert not readers[4].at_eof()


async def test_of_a_crowd_that_comes_in_one_turn_no_more_are_kept_than_may_be(plant: Plant) -> None:
    async with (
        served(plant, Limits(handshake_s=PATIENCE_S, handshakes=3)) as port,
        AsyncExitStack() as held,
    ):
        at_once = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        readers = []
        for each in at_once:
            reader, writer = await asyncio.open_connection(sock=each)
            held.callback(writer.close)
            readers.append(reader)
        for reader in readers[:17]:
            with suppress(ConnectionError):
                assert await reader.read() == b""
        assert not any(reader.at_eof() for reader in readers[17:])


async def test_beyond_the_limit_of_connections_who_comes_is_turned_away(
    plant: Plant, said: Said
) -> None:
    agent = plant.client(plant.ca.issue("a"))
    async with served(plant, Limits(handshake_s=PATIENCE_S, connections=2)) as port:
        async with connected(port, agent) as (one, _), connected(port, agent) as (two, _):
            for reader in (one, two):
                await reader.readexactly(len(GREETING))
            assert not await is_let_in(port, agent)
            await said("2 connections are open: who connects now is turned away")
        while not await is_let_in(port, agent):
            pass
        await said("connections are accepted again")


async def test_handshakes_that_failed_take_no_room(plant: Plant) -> None:
    agent = plant.client(plant.ca.issue("a"))
    async with served(plant, Limits(handshake_s=PATIENCE_S, connections=2)) as port:
        for _ in range(3):
            assert not await is_let_in(port, plant.client(None))
        async with connected(port, agent) as (one, _), connected(port, agent) as (two, _):
            for reader in (one, two):
                await reader.readexactly(len(GREETING))


async def test_a_new_certificate_is_shown_at_once_and_open_connections_stay(
    plant: Plant,
) -> None:
    agent = plant.client(plant.ca.issue("a"))
    async with served(plant) as port, connected(port, agent) as (old, _):
        await old.readexactly(len(GREETING))
        renewed = plant.ca.issue("renewed", ("127.0.0.1",))
        shutil.copy(renewed.certificate, plant.files.certificate)
        shutil.copy(renewed.key, plant.files.key)
        plant.credentials.refresh()
        async with connected(port, agent) as (_, writer):
            shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        pem = ssl.DER_cert_to_PEM_cert(shown).encode()
        assert Certificate.from_pem(pem).serial == plant.credentials.identity.certificate.serial
        assert not old.at_eof()


async def test_no_tls_older_than_1_2_is_spoken(plant: Plant, said: Said) -> None:
    context = plant.client(plant.ca.issue("a"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with served(plant) as port:
        assert not await is_let_in(port, context)
        await said("TLS failed: it speaks no TLS that is as new as 1.2")


def test_what_a_host_does_is_logged_once_in_ten_minutes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = ManualClock()
    log = PeerLog(clock)
    for _ in range(3):
        for host in ("10.0.0.1", "10.0.0.2"):
            for what in ("this", "that"):
                log.tell(f"{host}:1", what)
                clock.advance(1.0)
    assert len(caplog.messages) == 4
    clock.advance(600.0)
    log.tell("10.0.0.1:9", "this")
    assert caplog.messages[4:] == ["10.0.0.1:9: this; 2 more before, not logged"]


def test_many_hosts_cost_neither_memory_nor_a_log_without_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    clock = ManualClock()
    log = PeerLog(clock, most=3)
    for number in range(100):
        log.tell(f"10.0.0.{number}:1", "this")
    assert len(caplog.messages) == 3
    clock.advance(600.0)
    log.tell("10.0.1.1:1", "this")
    assert len(caplog.messages) == 4


def test_one_host_with_ever_other_numbers_leaves_room_for_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    log = PeerLog(ManualClock(), most=3)
    for length in range(20_000, 20_010):
        log.tell("10.0.0.1:1", f"a frame of {length} bytes")
    log.tell("10.0.0.2:1", "this")
    assert caplog.messages == ["10.0.0.1:1: a frame of 20000 bytes", "10.0.0.2:1: this"]


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1:{port}"):
            await H2Transport(Address("127.0.0.1", port), None).start({})


async def test_a_name_that_no_host_can_have_is_told() -> None:
    with pytest.raises(ListenError, match=r"cannot listen on a\.\.b:0"):
        await H2Transport(Address("a..b", 0), None).start({})


async def test_what_comes_at_once_may_be_more_than_one_read_takes(plant: Plant) -> None:
    seen: list[bytes] = []

    async def take(call: Call) -> None:
        while messages := await call.read():
            seen.extend(messages)

    client = H2Connection(H2Configuration(client_side=True))
    client.initiate_connection()
    client.send_headers(
        1,
        [
            (":method", "POST"),
            (":scheme", "https"),
            (":path", METHOD_PATH),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ],
    )
    messages = [bytes([number % 256]) * 20 for number in range(2600)]
    for message in messages:  # each in a frame of its own, within the window of all of them
        client.send_data(1, framed([message]))
    client.end_stream(1)
    data = client.data_to_send()
    assert len(data) > len(read_buffer())
    async with served(plant, handlers={METHOD_PATH: take}) as port:
        context = plant.client(plant.ca.issue("a"))
        async with connected(port, context) as (reader, writer):
            writer.write(data)
            events: list[Event] = []
            while not any(isinstance(each, StreamEnded) for each in events):
                events = client.receive_data(await reader.read(65_536))
    assert seen == messages
