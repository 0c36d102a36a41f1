"""A console in this process, with its real server, store and file; and a browser's requests."""

import asyncio
import contextlib
import http.client
import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.client import HTTPMessage
from pathlib import Path
from typing import Any

import msgspec
from support.chain import Chain
from support.patience import PATIENCE_S
from support.store import send
from support.stores import lines_of

from broker.config import Store
from broker.console.api.console import Console
from broker.console.app import application, opened
from broker.console.book.people import People
from broker.console.config import ConsoleSettings, PageSettings
from broker.console.passwords import derived
from broker.console.server import bind, serving
from broker.console.signin import COOKIE
from quartet.address import Address
from quartet.clock import Clock

PASSWORD = "correct horse battery"  # noqa: S105 - of a test


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        text: str = self.json["error"]
        return text

    @property
    def cookie(self) -> str:
        """Name and value of the cookie that it sets."""
        return (self.headers["Set-Cookie"] or "").partition(";")[0]


class Served:
    """A console that listens, and whoever asks it."""

    def __init__(self, console: Console, port: int, tls: ssl.SSLContext | None) -> None:
        self.console = console
        self.port = port
        self.people = People(console.book.database, console.clock)
        self._tls = tls
        self.streams: list[Streaming] = []

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def get(self, path: str, method: str = "GET", **headers: str) -> Reply:
        return await asyncio.to_thread(self._ask, method, path, None, _named(headers))

    async def post(
        self, path: str, body: object = None, *, cookie: str = "", **headers: str
    ) -> Reply:
        """As a page of this console posts. A header that is empty is left out."""
        origin = f"{'https' if self._tls else 'http'}://{self.host}"
        given = {"Host": self.host, "Origin": origin, **_named(headers)}
        if cookie:
            given["Cookie"] = cookie
        if "X-Quartet-Token" not in given:
            told = {"Host": given["Host"], "Cookie": cookie}
            me = await asyncio.to_thread(self._ask, "GET", "/api/me", None, told)
            given["X-Quartet-Token"] = me.json.get("token", "") if me.status == 200 else ""
        raw = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        return await asyncio.to_thread(
            self._ask, "POST", path, raw, {name: text for name, text in given.items() if text}
        )

    async def sign_in(self, name: str, password: str = PASSWORD) -> Reply:
        return await self.post("/api/signin", {"name": name, "password": password})

    async def stream(self, path: str = "/api/live", **headers: str) -> "Streaming":
        """Open a stream, with its headers read."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self._tls)
        lines = {"Host": self.host, **_named(headers)}
        head = "".join(f"{name}: {text}\r\n" for name, text in lines.items())
        writer.write(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
        async with asyncio.timeout(PATIENCE_S):
            said = await reader.readuntil(b"\r\n\r\n")
        stream = Streaming(int(said.split()[1]), reader, writer)
        self.streams.append(stream)
        return stream

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        where = ("127.0.0.1", self.port)
        connection = (
            http.client.HTTPSConnection(*where, timeout=PATIENCE_S, context=self._tls)
            if self._tls
            else http.client.HTTPConnection(*where, timeout=PATIENCE_S)
        )
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()


@dataclass
class Streaming:
    """An open answer."""

    status: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def tick(self) -> dict[str, Any]:
        """The next event."""
        async with asyncio.timeout(PATIENCE_S):
            while not (line := await self.reader.readline()).startswith(b"data: "):
                assert line, "the stream has ended"
        found: dict[str, Any] = json.loads(line[6:])
        return found

    async def end(self) -> bytes:
        """What comes until its end."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-").title(): text for name, text in headers.items()}


def cookie_of(reply: Reply) -> str:
    """The secret of the cookie that was set."""
    found = re.match(f"{COOKIE}=([^;]*)", reply.headers["Set-Cookie"] or "")
    assert found
    return found[1]


async def make_store(store: Store, agents: Sequence[str] = ("a",), samples: int = 40) -> None:
    """A store with some samples of each agent, and no broker."""
    async with lines_of(store, Chain) as lines:
        for number, agent in enumerate(agents):
            await send(lines, range(samples), session=number, agent=agent)


@asynccontextmanager
async def served(
    directory: Path,
    *,
    store: Store | None = None,
    users: Mapping[str, str] | None = None,
    hosts: Sequence[str] = (),
    settings: ConsoleSettings | None = None,
    clock: Clock = time,
    tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
) -> AsyncIterator[Served]:
    """A console on loopback over a store, or broker.db of this directory, made where there is none.

    `users` by name have the role that is given, and PASSWORD. `tls`: for the server and its
    browser. A test has the book fed by itself.
    """
    store, database = store or directory / "broker.db", directory / "console.db"
    if isinstance(store, Path) and not store.exists():
        await make_store(store)
    chosen = settings or ConsoleSettings(console=PageSettings(hosts=tuple(hosts)))
    # What it may do is as if it listened where the settings say; a test listens on loopback.
    before = msgspec.structs.replace(
        chosen, console=msgspec.structs.replace(chosen.console, insecure=True)
    )
    async with opened(before, store, database, clock) as console:
        people = People(console.book.database, clock)
        for name, role in (users or {}).items():
            kept = derived(PASSWORD)
            await people.put(name, role, kept.salt, kept.key)
    async with opened(chosen, store, database, clock) as console:
        sockets = bind(Address("127.0.0.1", 0))
        port = sockets[0].getsockname()[1]
        app = application(console, chosen)
        looking = asyncio.create_task(console.present.run())
        site = Served(console, port, tls[1] if tls else None)
        async with serving(app, sockets, tls[0] if tls else None):
            try:
                yield site
            finally:
                console.stop.set()
                looking.cancel()
                await asyncio.wait([looking])
                for stream in site.streams:
                    await stream.close()
