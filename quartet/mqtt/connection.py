"""One connection to an MQTT server, by aiomqtt: the only file that imports it."""

import asyncio
import contextlib
import logging
import ssl
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import aiomqtt

from quartet.address import Address
from quartet.foreign import shown
from quartet.mqtt.cause import (
    CLOSED,
    SPEAKS_OTHER,
    MqttServerError,
    not_allowed,
    refused,
    unreached,
)
from quartet.settings import SYSTEM_AUTHORITIES, MqttServer, secret

# A server that hears nothing for one and a half times as long sends the will.
_KEEPALIVE_S = 20

# For an answer to each message. A server that takes longer is as good as away.
_ANSWER_S = 10.0

# Sent before the first of them is confirmed. The library warns from 11 on.
_AT_ONCE = 10

# Of messages that wait to be read. Only few topics are subscribed to.
_MOST_WAITING = 10_000

_MOST_OF_PASSWORD = 65_535

# The library's own log: what it says is raised as well, and told in our words.
_OF_LIBRARY = logging.getLogger(f"{__name__}.library")
_OF_LIBRARY.setLevel(logging.CRITICAL)

Messages = Mapping[str, bytes]
"""What a server is to keep at each topic; empty: nothing."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message that came; `is_kept`: the server had it from before."""

    topic: str
    payload: bytes
    is_kept: bool


class _Client(aiomqtt.Client):
    """Waits for no answer from a server that has closed, and leaves no socket behind."""

    def __init__(self, *settings: Any, **more: Any) -> None:
        super().__init__(*settings, **more)
        self._reached = Future[Any]()
        self._reach, self._client.connect = self._client.connect, self._connect  # type: ignore[method-assign]

    def _connect(self, *settings: Any, **more: Any) -> Any:
        """Connect in a thread that no end of the process waits for: a name may take a minute."""

        def reach() -> None:
            with contextlib.suppress(InvalidStateError):  # nobody waits any more
                try:
                    self._reached.set_result(self._reach(*settings, **more))
                except Exception as error:
                    self._reached.set_exception(error)
            if self._reached.cancelled():
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    self._loop.call_soon_threadsafe(self._client.disconnect)

        threading.Thread(target=reach, name="mqtt", daemon=True).start()
        return self._reached.result()

    def _on_disconnect(self, *told: Any) -> None:
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError(CLOSED))
        super()._on_disconnect(*told)

    refused = 0
    """Messages that the server did not take for want of rights, or for another reason."""

    def _on_publish(self, client: Any, userdata: Any, mid: int, code: Any, *told: Any) -> None:
        self.refused += code.is_failure
        super()._on_publish(client, userdata, mid, code, *told)

    def abandon(self, will: tuple[str, bytes] | None) -> None:
        """Close what is open, without a wait. A server that hears a goodbye publishes no will."""
        self._reached.cancel()
        self._client.on_disconnect = None
        if will:
            self._client.publish(will[0], will[1], 0, True)
        self._client.disconnect()


class Connection:
    """A server that has accepted this client. Loop only. Each method may raise MqttServerError."""

    def __init__(self, client: _Client) -> None:
        self._client = client

    async def publish(self, messages: Messages, *, keep: bool = True) -> int:
        """Put messages at their topics; how many the server refused to take. Returns at its answer.

        `keep`: the server keeps them there. One that speaks only MQTT 3.1.1 tells no refusal.
        """
        refused = self._client.refused
        waiting = list(messages.items())
        for first in range(0, len(waiting), _AT_ONCE):
            batch = waiting[first : first + _AT_ONCE]
            with _lost():
                await asyncio.gather(
                    *(self._client.publish(topic, said, 1, keep) for topic, said in batch)
                )
        return self._client.refused - refused

    async def subscribe(self, topics: list[str]) -> None:
        """Have the messages at these topics; + stands for one level."""
        with _lost():
            await self._client.subscribe([(topic, 1) for topic in topics])

    async def received(self) -> AsyncIterator[Received]:
        """Each message of the subscriptions, until the connection ends by MqttServerError."""
        with _lost():
            async for message in self._client.messages:
                payload = message.payload if isinstance(message.payload, bytes) else b""
                yield Received(str(message.topic), payload, message.retain)


@contextlib.asynccontextmanager
async def connected(
    server: MqttServer, client_id: str, will: tuple[str, bytes] | None = None
) -> AsyncIterator[Connection]:
    """Connect, as a client of this id; MqttServerError where that fails, or the connection ends.

    The server publishes the will (topic and payload) when the connection ends without a word.
    """
    shown_to_it = await asyncio.to_thread(credentials, server)
    client = _client(server, client_id, will, shown_to_it, aiomqtt.ProtocolVersion.V5)
    is_accepted = False
    try:
        try:
            await _enter(client, server)
        except MqttServerError as error:
            if error.text != SPEAKS_OTHER:
                raise
            client.abandon(None)
            client = _client(server, client_id, will, shown_to_it, aiomqtt.ProtocolVersion.V311)
            await _enter(client, server)
        is_accepted = True
        yield Connection(client)
        with contextlib.suppress(aiomqtt.MqttError):
            await client.__aexit__(None, None, None)
    finally:
        client.abandon(will if is_accepted else None)


def _client(
    server: MqttServer,
    client_id: str,
    will: tuple[str, bytes] | None,
    shown_to_it: tuple[ssl.SSLContext | None, str | None],
    protocol: aiomqtt.ProtocolVersion,
) -> _Client:
    address = Address.parse(server.address, "address")
    context, password = shown_to_it
    return _Client(
        address.host,
        address.port,
        identifier=client_id,
        username=server.username,
        password=password,
        tls_context=context,
        will=aiomqtt.Will(will[0], will[1], 1, True) if will else None,
        protocol=protocol,
        timeout=_ANSWER_S,
        keepalive=_KEEPALIVE_S,
        max_queued_incoming_messages=_MOST_WAITING,
        logger=_OF_LIBRARY,
    )


async def _enter(client: _Client, server: MqttServer) -> None:
    try:
        await client.__aenter__()
    except aiomqtt.MqttCodeError as error:
        code = getattr(error.rc, "value", 0)
        raise refused(code, str(error), has_login=server.username is not None) from error
    except aiomqtt.MqttError as error:
        # The library raises its own in place of it, with its text alone.
        raise _unreached(server, error.__context__, error) from error
    except UnicodeError as error:
        raise _unreached(server, error, error) from error


def _unreached(
    server: MqttServer, cause: BaseException | None, error: Exception
) -> MqttServerError:
    host = Address.parse(server.address, "address").host
    return unreached(cause, str(error), host, tls=server.ca is not None)


async def probe(server: MqttServer, most_s: float, topic: str) -> None:
    """Connect once, by a client id that disturbs no other, and publish at a topic.

    Nothing is kept there. MqttServerError where that fails.
    """
    try:
        async with (
            asyncio.timeout(most_s),
            connected(server, f"quartet-{token_hex(4)}") as connection,
        ):
            if await connection.publish({topic: b""}, keep=False):
                raise not_allowed(server)
    except TimeoutError:
        text = f"it does not answer within {most_s:g} s"
        raise MqttServerError(text, "check the address and the network") from None


@contextlib.contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except aiomqtt.MqttError as error:
        raise MqttServerError(
            f"the connection ended ({shown(error)})",
            "see the server's log; another client with this id would end it",
        ) from error


def credentials(server: MqttServer) -> tuple[ssl.SSLContext | None, str | None]:
    """What is shown to the server: TLS and the password, where the settings have them.

    MqttServerError for a file that cannot be used. Reads files: the system's list of authorities
    is long.
    """
    return _context(server), _password(server)


def _context(server: MqttServer) -> ssl.SSLContext | None:
    """TLS, as the settings have it; None: without."""
    if server.ca is None:
        return None
    try:
        path = None if server.ca == SYSTEM_AUTHORITIES else server.ca
        context = ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        raise MqttServerError(
            f"ca: {server.ca}: {_why(error)}", "expected a file in PEM"
        ) from error
    # From 3.13 on Python refuses many home-made certificates, which older versions accept.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if server.certificate and server.key:
        try:
            context.load_cert_chain(server.certificate, secret(server.key))
        except OSError as error:
            both = f"certificate or key: {server.certificate}, {server.key}: {_why(error)}"
            raise MqttServerError(both, "expected two files in PEM that fit") from error
    return context


def _password(server: MqttServer) -> str | None:
    if server.password_file is None:
        return None
    path = secret(server.password_file)
    try:
        with Path(path).open(encoding="utf-8") as file:
            return file.read(_MOST_OF_PASSWORD).rstrip("\r\n")
    except (OSError, ValueError) as error:
        what = f"password_file: {path}: {_why(error)}"
        raise MqttServerError(what, "expected a text file with the password") from error


def _why(error: Exception) -> str:
    return shown(getattr(error, "strerror", None) or type(error).__name__)
