"""Who receives notifications: a web server and a mail server that do what a test says."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from support.patience import PATIENCE_S

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def answer(status: int, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Said So", *headers, "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode()


@dataclass
class Posted:
    """A request that came."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Hook:
    """A web server: it gives the answers in their order, and the last one for ever."""

    answers: list[bytes | None]
    """None: none at all, until the client goes."""
    port: int = 0
    posted: list[Posted] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def wait_for(self, count: int) -> list[Posted]:
        """The first `count` requests, once they are there."""
        async with asyncio.timeout(PATIENCE_S), self.came:
            await self.came.wait_for(lambda: len(self.posted) >= count)
        return self.posted[:count]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=not-for-the-log"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            body = await reader.readexactly(int(headers["Content-Length"]))
            said = self.answers[0]
            if len(self.answers) > 1:
                self.answers.pop(0)
            async with self.came:
                self.posted.append(Posted(head[0], headers, body))
                self.came.notify_all()
            if said is None:
                await reader.read()
            else:
                writer.write(said)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def hook(
    *answers: bytes | None, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[Hook]:
    """A server on loopback; without answers it takes everything."""
    hook = Hook([*answers] or [OK])
    server = await asyncio.start_server(hook.serve, "127.0.0.1", port, ssl=tls)
    hook.port = server.sockets[0].getsockname()[1]
    async with server:
        yield hook
        server.close()


@dataclass
class Sink:
    """What a mail server took, and whom it refuses."""

    password: str = ""
    refused: Sequence[str] = ()
    data_answer: str = "250 taken"
    letters: list[EmailMessage] = field(default_factory=list)
    receivers: list[list[str]] = field(default_factory=list)
    port: int = 0

    def authenticate(
        self, _: object, __: object, ___: object, how: str, said: object
    ) -> AuthResult:
        is_right = isinstance(said, LoginPassword) and said.password.decode() == self.password
        return AuthResult(success=is_right, handled=how not in ("LOGIN", "PLAIN"))

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, _: object, __: object, envelope: Envelope, address: str, ___: object
    ) -> str:
        if address in self.refused:
            return "550 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 well"

    async def handle_DATA(  # noqa: N802 - the library's name
        self, _: object, __: object, envelope: Envelope
    ) -> str:
        if self.data_answer.startswith("250"):
            assert isinstance(envelope.content, bytes)
            letter = message_from_bytes(envelope.content, policy=default)
            assert isinstance(letter, EmailMessage)
            self.letters.append(letter)
            self.receivers.append(envelope.rcpt_tos)
        return self.data_answer


@asynccontextmanager
async def mail_server(sink: Sink, tls: ssl.SSLContext | None = None) -> AsyncIterator[Sink]:
    """A server on loopback; with `tls` it wants STARTTLS first, and with a password a sign-in."""
    options: dict[str, Any] = {}
    if tls:
        options = {"tls_context": tls, "require_starttls": True}
    if sink.password:
        options |= {"authenticator": sink.authenticate, "auth_required": True}
    loop = asyncio.get_running_loop()
    make = lambda: SMTP(sink, hostname="sink", loop=loop, **options)  # noqa: E731 - one a client
    server = await loop.create_server(make, "127.0.0.1", 0)
    sink.port = server.sockets[0].getsockname()[1]
    async with server:
        yield sink
