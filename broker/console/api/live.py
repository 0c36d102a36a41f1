"""What happens now: the fleet, and the stream of its changes."""

import asyncio
import logging
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from broker.console.answers import Json, RefusedError, encoded
from broker.console.api.console import Answer, Console, get
from broker.console.api.streaming import cut, gone, signed_out, until
from broker.console.present.subscription import MOST_WATCHED
from broker.console.signin import Who
from quartet.plural import counted

log = logging.getLogger(__name__)

# Something must come through, or whoever is between closes the connection.
_KEEP_ALIVE_S = 15.0

# Of a stream that is over.
_END_S = 0.5


_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
]


def routes(console: Console) -> list[Route]:
    """The way to each."""

    async def fleet(_: Request, __: Who) -> Response:
        return Json(console.present.fleet())

    async def live(request: Request, who: Who) -> Answer:
        names = [name for name in request.query_params.get("watch", "").split(",") if name]
        if len(names) > MOST_WATCHED:
            raise RefusedError(400, f"watch: {counted(MOST_WATCHED, 'agent')} at the most")
        if request.method == "HEAD":
            return Response()
        await console.limits.streams.take()
        return _Stream(console, who, frozenset(names))

    return [get("/api/fleet", console, fleet), get("/api/live", console, live)]


class _Stream:
    """Server-sent events, until the browser or the console ends, or its user is signed out."""

    def __init__(self, console: Console, who: Who, watched: frozenset[str]) -> None:
        """The room for it is taken already."""
        self._console = console
        self._who = who
        self._watched = watched

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as ASGI has it."""
        closed = asyncio.create_task(gone(receive))
        stopped = asyncio.create_task(self._console.stop.wait())
        over = asyncio.create_task(signed_out(self._console.sign_in, self._who))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await until(self._send(send), [closed, stopped, over])
            async with asyncio.timeout(_END_S):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            log.debug("a browser took nothing more of its stream")
            await cut(scope, receive)
        finally:
            self._console.limits.streams.give_back()

    async def _send(self, send: Send) -> None:
        ticks = self._console.present.subscribe(self._watched)
        step = asyncio.ensure_future(anext(ticks, None))
        try:
            while True:
                done, _ = await asyncio.wait([step], timeout=_KEEP_ALIVE_S)
                tick = step.result() if done else {}
                if tick is None:
                    return
                await send({"type": "http.response.body", "body": _event(tick), "more_body": True})
                if done:
                    step = asyncio.ensure_future(anext(ticks, None))
        finally:
            step.cancel()
            await asyncio.wait([step])
            await ticks.aclose()


def _event(tick: Mapping[str, object]) -> bytes:
    """One event; where nothing has changed, a comment."""
    return b"event: tick\ndata: " + encoded(tick) + b"\n\n" if tick else b":\n\n"
