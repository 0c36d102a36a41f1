"""What each request must be before anything looks at it, and what each answer carries."""

import ipaddress
import logging
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.console.answers import RefusedError
from quartet.errors import QuartetError

log = logging.getLogger(__name__)

_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)

_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_METHODS = ("GET", "HEAD", "POST")

# A note has 2,000 characters at most.
MOST_BODY_BYTES = 16_384


class Gate:
    """Lets requests through that a page of ours may have made, by a name of ours. ASGI."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        """`hosts` are the names, beside those of this machine alone."""
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            receive = await self._admitted(scope, receive)
            await self._app(scope, receive, send_with_headers)
        except RefusedError as refused:
            answer = refused.answer()
        except QuartetError as error:
            log.debug("%s %s: %s", scope["method"], scope["path"], error)
            answer = RefusedError(503, str(error), {"Retry-After": "2"}).answer()
        except Exception:
            log.exception("internal error: please report it")
            answer = RefusedError(500, "internal error: see the console's log").answer()
        else:
            return
        if not begun:
            await answer(scope, receive, send_with_headers)

    async def _admitted(self, scope: Scope, receive: Receive) -> Receive:
        """What the request's body is received by. RefusedError."""
        headers, method = Headers(scope=scope), scope["method"]
        if method not in _METHODS:
            raise RefusedError(
                405, f"{method} is not possible here", {"Allow": ", ".join(_METHODS)}
            )
        host = self._host(headers)
        if headers.get("sec-fetch-site") == "cross-site" and scope["path"].startswith("/api"):
            raise RefusedError(403, "data is for the console's own pages only")
        if method != "POST":
            return receive
        origin = headers.get("origin", "")
        if not _is_of(origin, host, is_encrypted=scope["scheme"] == "https"):
            raise RefusedError(
                403, f"this came from a page of {origin or 'nobody'}, and not of {host}: refused"
            )
        return await _whole(headers, receive)

    def _host(self, headers: Headers) -> str:
        """The host that the browser asked for: one of ours, or somebody led the browser here."""
        given = headers.getlist("host")
        host = given[0] if len(given) == 1 else ""
        name = _name(host)
        if name not in self._hosts and not _is_own(name):
            raise RefusedError(
                403,
                f"this console is not for the name {name or host!r}: use its address, or add the"
                ' name to the configuration, as [console] hosts = ["NAME"]',
            )
        return host


async def _whole(headers: Headers, receive: Receive) -> Receive:
    """The body, received as a whole."""
    too_large = RefusedError(413, f"the request is larger than {MOST_BODY_BYTES} bytes")
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length) > MOST_BODY_BYTES:
        raise too_large
    body = b""
    while True:  # the server limits the time
        message = await receive()
        if message["type"] != "http.request":
            raise RefusedError(400, "the connection was closed within the request")
        body += message.get("body", b"")
        if len(body) > MOST_BODY_BYTES:
            raise too_large
        if not message.get("more_body"):
            break
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _is_of(origin: str, host: str, *, is_encrypted: bool) -> bool:
    """Whether a page comes from this host, and by TLS where the console has it."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    schemes = ("https",) if is_encrypted else ("http", "https")  # a proxy may have added TLS
    return parts.scheme in schemes and parts.netloc.lower() == host.lower()


def _name(host: str) -> str:
    """The host of HOST:PORT or [IPV6]:PORT, as names are compared; empty for none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_own(name: str) -> bool:
    """Whether it means this machine, to whoever asks."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
