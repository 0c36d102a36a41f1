"""What answers are made of, and how a question comes to its answer."""

import asyncio
import hmac
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from broker.config import Store
from broker.console.answers import RefusedError
from broker.console.book import Book
from broker.console.book.model import MOST_NAME, Act
from broker.console.limits import Limits
from broker.console.present import Numbers, Present
from broker.console.signin import SignIn, Who
from broker.recorder.reader import LineState, Reader, Span
from quartet.clock import Clock
from quartet.errors import StoreError

_MOST_MS = (2**63 - 1) / 1e6


class _AgentName(Convertor[str]):
    """An agent's name in a path: "~" stands before "." and "..", which browsers take away."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return value[1:] if value in ("~.", "~..") else value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("agent", _AgentName())

AGENT = "/api/agent/{name:agent}"
"""Where the data of an agent are."""


@dataclass(frozen=True, slots=True)
class Console:
    """The parts of a running console."""

    reader: Reader
    book: Book
    present: Present
    numbers: Numbers
    sign_in: SignIn
    store: Store
    stop: asyncio.Event
    """Set when it stops: streams end."""
    limits: Limits = field(default_factory=Limits)
    clock: Clock = time

    async def line(self, agent_id: str) -> LineState:
        """The state of an agent's line. RefusedError: there is none."""
        found = await self.reader.line(agent_id)
        if found is None:
            raise RefusedError(404, f"{agent_id}: no agent of this name is on record")
        return found

    async def record(
        self, request: Request, name: str, verb: str, subject: str = "", detail: str = ""
    ) -> None:
        """Note in the audit what somebody did."""
        await self.book.record(
            Act(self.clock.time_ns(), name, address_of(request), verb, subject, detail)
        )

    @asynccontextmanager
    async def recorded(
        self, request: Request, name: str, verb: str, subject: str, detail: str = ""
    ) -> AsyncIterator[None]:
        """Note what is done while entered, before it is: nothing is done that cannot be noted.

        That it failed is noted behind it.
        """
        await self.record(request, name, verb, subject, detail)
        try:
            yield
        except Exception as error:
            with suppress(StoreError):
                await self.record(request, name, f"failed: {verb}", subject, str(error))
            raise


class Signed(msgspec.Struct):
    """The body of each POST: who does it, where nobody needs to sign in."""

    by: str = ""


Body = TypeVar("Body", bound=Signed)

Answer = Response | ASGIApp


def get(path: str, console: Console, answer: Callable[[Request, Who], Awaitable[Answer]]) -> Route:
    """A question of whoever may look."""

    async def asked(request: Request) -> Answer:
        return await answer(request, await _who(console, request))

    return Route(path, asked, methods=["GET"])


def post(
    path: str,
    console: Console,
    kind: type[Body],
    act: Callable[[Request, Body, "Actor"], Awaitable[Answer]],
) -> Route:
    """Something that an operator does."""

    async def asked(request: Request) -> Answer:
        who = await _who(console, request)
        token = request.headers.get("x-quartet-token", "")
        if not hmac.compare_digest(token.encode(), who.token.encode()):
            raise RefusedError(403, "this page is out of date: load it again, then try again")
        if not who.may_act:
            raise RefusedError(403, f"{who.name} may only look: an operator may do this")
        body = await body_of(request, kind)
        return await act(request, body, _actor(who, body))

    return Route(path, asked, methods=["POST"])


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something."""

    name: str
    in_audit: str
    """With what makes the name doubtful."""


async def body_of(request: Request, kind: type[Body]) -> Body:
    """The JSON of a POST. RefusedError."""
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(400, f"the request is not as it should be: {error}") from error


def address_of(request: Request) -> str:
    """Where a request comes from."""
    return request.client.host if request.client else ""


def span_of(request: Request) -> Span:
    """The range from `from` to `to`, in Unix ms. RefusedError."""
    span = Span(_ns(request, "from"), _ns(request, "to"))
    if span.since_ns >= span.until_ns:
        raise RefusedError(400, "from: must be before to")
    return span


def optional_span_of(request: Request) -> Span:
    """The same, where both ends may be left out. RefusedError."""
    given, everything = request.query_params, Span()
    span = Span(
        _ns(request, "from") if given.get("from") else everything.since_ns,
        _ns(request, "to") if given.get("to") else everything.until_ns,
    )
    if span.since_ns >= span.until_ns:
        raise RefusedError(400, "from: must be before to")
    return span


def number_of(request: Request, name: str, default: int, most: int) -> int:
    """A whole number from 1 on. RefusedError."""
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= most):
        raise RefusedError(400, f"{name}: expected a whole number from 1 to {most}, got {text!r}")
    return int(text)


def moment(ms: float, name: str) -> int:
    """Unix ns of Unix ms. RefusedError."""
    if not math.isfinite(ms) or not 0 <= ms < _MOST_MS:
        raise RefusedError(400, f"{name}: expected a time in Unix milliseconds, got {ms}")
    return min(round(ms * 1e6), 2**63 - 1)


def _ns(request: Request, name: str) -> int:
    text = request.query_params.get(name)
    if text is None:
        raise RefusedError(400, f"{name}: missing: expected a time in Unix milliseconds")
    try:
        return moment(float(text), name)
    except ValueError:
        raise RefusedError(
            400, f"{name}: expected a time in Unix milliseconds, got {text[:50]!r}"
        ) from None


async def _who(console: Console, request: Request) -> Who:
    who = await console.sign_in.who(request.cookies)
    if who is None:
        raise RefusedError(401, "sign in first")
    return who


def _actor(who: Who, body: Signed) -> Actor:
    if who.name is not None:
        return Actor(who.name, who.name)
    name = " ".join(body.by.split())
    if not name or len(name) > MOST_NAME or not name.isprintable():
        raise RefusedError(400, f"by: expected your name, of 1 to {MOST_NAME} characters")
    return Actor(name, f"{name} (not signed in)")
