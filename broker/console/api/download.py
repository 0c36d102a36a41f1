"""The samples of a range as CSV: whole, or the connection breaks."""

import asyncio
import logging

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from broker.console.api.console import AGENT, Answer, Console, get, span_of
from broker.console.api.streaming import cut, gone, signed_out, until
from broker.console.api.table import attachment
from broker.console.signin import Who
from broker.export.cells import iso
from broker.export.rows import names_of, rows
from broker.export.text import CsvText
from broker.recorder.reader import Span
from quartet.errors import StoreError

log = logging.getLogger(__name__)


def routes(console: Console) -> list[Route]:
    """The way to it."""

    async def download(request: Request, who: Who) -> Answer:
        name = request.path_params["name"]
        span = span_of(request)
        line = await console.line(name)
        text = CsvText(names_of(line.sensors))
        headers = attachment(f"{name}-{iso(span.since_ns)[:19].replace(':', '')}.csv")
        if request.method == "HEAD":
            return Response(headers=headers)
        await console.limits.downloads.take()
        detail = f"{iso(span.since_ns)} to {iso(span.until_ns)}"
        try:
            await console.record(request, who.name or "(not signed in)", "downloaded", name, detail)
        except BaseException:
            console.limits.downloads.give_back()
            raise
        return _Download(console, who, name, span, text=text, headers=headers)

    return [get(f"{AGENT}/download", console, download)]


class _Download:
    """Sends a range, some rows at a time: between them, nothing is held in the store."""

    def __init__(
        self,
        console: Console,
        who: Who,
        agent_id: str,
        span: Span,
        *,
        text: CsvText,
        headers: dict[str, str],
    ) -> None:
        """The room for it is taken already."""
        self._console = console
        self._who = who
        self._agent_id = agent_id
        self._span = span
        self._text = text
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as ASGI has it."""
        closed = asyncio.create_task(gone(receive))
        stopped = asyncio.create_task(self._console.stop.wait())
        over = asyncio.create_task(signed_out(self._console.sign_in, self._who))
        is_whole = False
        try:
            is_whole = await until(self._send(send), [closed, stopped, over])
        except StoreError as error:
            log.warning("download of %s: broken off: %s", self._agent_id, error)
        finally:
            self._console.limits.downloads.give_back()
        if not is_whole:
            await cut(scope, receive)

    async def _send(self, send: Send) -> None:
        headers = [(name.lower().encode(), text.encode()) for name, text in self._headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await _body(send, self._text.header)
        async for some in rows(self._console.reader, self._agent_id, self._span):
            await _body(send, await asyncio.to_thread(self._text.of, some))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _body(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
