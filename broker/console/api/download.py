"""The samples of a range as CSV: whole, or the connection breaks."""

import asyncio
import csv
import io
import logging
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from broker.console.api.console import AGENT, Answer, Console, get, span_of
from broker.console.api.streaming import cut, gone, signed_out, until
from broker.console.api.table import attachment, cell, iso
from broker.console.signin import Who
from broker.recorder.reader import RecordedSample, Span
from quartet.channels import shortest
from quartet.errors import StoreError
from wire.sensors import Sensors

log = logging.getLogger(__name__)


def routes(console: Console) -> list[Route]:
    """The way to it."""

    async def download(request: Request, who: Who) -> Answer:
        name = request.path_params["name"]
        span = span_of(request)
        line = await console.line(name)
        header = ["time", "session", "id", *_names(line.sensors), "prediction"]
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
        return _Download(console, who, name, span, header=header, headers=headers)

    return [get(f"{AGENT}/download", console, download)]


class _Download:
    """Sends a range, some hundred rows at a time: between them, nothing is held in the store."""

    def __init__(
        self,
        console: Console,
        who: Who,
        agent_id: str,
        span: Span,
        *,
        header: Sequence[str],
        headers: dict[str, str],
    ) -> None:
        """The room for it is taken already."""
        self._console = console
        self._who = who
        self._agent_id = agent_id
        self._span = span
        self._header = header
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
        await _body(send, _rows([self._header]))
        async for chunk in self._console.reader.samples(self._agent_id, self._span):
            await _body(send, await asyncio.to_thread(_rows, [_row(each) for each in chunk]))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _body(send: Send, rows: bytes) -> None:
    await send({"type": "http.response.body", "body": rows, "more_body": True})


def _row(sample: RecordedSample) -> list[object]:
    return [
        iso(sample.sampled_at_ns),
        sample.session_id,
        sample.id,
        *map(shortest, sample.values),
        int(sample.prediction),
    ]


def _rows(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _names(sensors: Sensors | None) -> list[str]:
    """The names of the columns: as somebody told, with units, else by number."""
    names = []
    for number, sensor in enumerate(sensors or (None,) * 4, start=1):
        told = (
            f"{sensor.name} ({sensor.unit})" if sensor and sensor.unit else sensor and sensor.name
        )
        names.append(cell(told) if told else f"sensor{number}")
    return names
