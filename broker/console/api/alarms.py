"""Alarms of all agents: open, acknowledged and ended; as JSON and as CSV."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from broker.console.answers import Json, RefusedError
from broker.console.api.console import Console, get, number_of, optional_span_of
from broker.console.api.table import attachment
from broker.console.book.model import AlarmQuery, AlarmState, RecordedAlarm
from broker.console.present.rounding import ms, ms_or_none
from broker.console.signin import Who
from broker.export.cells import cell, iso
from broker.feed.shares import shares

_STATES = tuple(each.value for each in AlarmState)

_ACKNOWLEDGED = {"": None, "yes": True, "no": False}

_MOST = 1000
_USUAL = 200

# A year of a plant.
_MOST_IN_CSV = 100_000

# Alarms that are written at a time.
_CHUNK = 500

_HEADER = (
    *("agent", "begun", "ended", "state", "samples", "reason"),
    *("acknowledged_by", "acknowledged_at", "note"),
)


def routes(console: Console) -> list[Route]:
    """The way to each."""

    async def found(request: Request, most: int) -> list[RecordedAlarm]:
        async with console.limits.questions.turn():
            return list(await console.book.alarms(_query(request, most)))

    async def alarms(request: Request, _: Who) -> Response:
        most = number_of(request, "most", _USUAL, _MOST)
        listed = await found(request, most + 1)
        return Json(
            {
                "alarms": [{"agent": each.agent_id, **told(each)} for each in listed[:most]],
                "more": len(listed) > most,
            }
        )

    async def table(request: Request, _: Who) -> Response:
        listed = await found(request, _MOST_IN_CSV)
        return StreamingResponse(_table(listed), headers=attachment("alarms.csv"))

    return [get("/api/alarms", console, alarms), get("/api/alarms.csv", console, table)]


def told(alarm: RecordedAlarm) -> dict[str, object]:
    """An alarm as a page takes it."""
    seen = alarm.acknowledged
    return {
        "id": str(alarm.begun_at_ns),
        "begun": ms(alarm.begun_at_ns),
        "ended": ms_or_none(alarm.ended_at_ns),
        "reason": alarm.reason,
        "shares": shares(alarm.reason),
        "state": alarm.state.value,
        "samples": alarm.samples,
        "acknowledged": {"by": seen.by, "at": ms(seen.at_ns), "note": seen.note} if seen else None,
    }


def _query(request: Request, most: int) -> AlarmQuery:
    given = request.query_params
    wanted, before = given.get("state") or None, given.get("before") or None
    if wanted is not None and wanted not in _STATES:
        raise RefusedError(400, f"state: expected {', '.join(_STATES)}, got {wanted[:50]!r}")
    seen = given.get("acknowledged", "")
    if seen not in _ACKNOWLEDGED:
        raise RefusedError(400, f"acknowledged: expected yes or no, got {seen[:50]!r}")
    return AlarmQuery(
        state=AlarmState(wanted) if wanted else None,
        part=given.get("agent") or "",
        span=optional_span_of(request),
        behind=None if before is None else _place(before),
        most=most,
        is_acknowledged=_ACKNOWLEDGED[seen],
    )


def _place(text: str) -> tuple[int, str]:
    """An alarm's id and agent, which a page ends with. RefusedError."""
    begun, colon, agent_id = text.partition(":")
    if not colon:
        raise RefusedError(400, f"before: expected ID:AGENT, got {text[:50]!r}")
    return alarm_id(begun), agent_id


def alarm_id(text: str) -> int:
    """When an alarm began, in Unix ns. RefusedError."""
    if not (text.isascii() and text.isdigit() and int(text[:20]) < 2**63 and len(text) <= 19):
        raise RefusedError(400, f"expected the id of an alarm, got {text[:50]!r}")
    return int(text)


async def _table(alarms: Sequence[RecordedAlarm]) -> AsyncIterator[str]:
    """The rows, made in a thread: the loop has others to answer."""
    yield _csv([_HEADER])
    for first in range(0, len(alarms), _CHUNK):
        chunk = alarms[first : first + _CHUNK]
        yield await asyncio.to_thread(_csv, map(_row, chunk))


def _csv(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _row(alarm: RecordedAlarm) -> Sequence[object]:
    seen, ended_ns = alarm.acknowledged, alarm.ended_at_ns
    return [
        alarm.agent_id,
        iso(alarm.begun_at_ns),
        "" if ended_ns is None else iso(ended_ns),
        alarm.state.value,
        alarm.samples,
        cell(alarm.reason),
        *((cell(seen.by), iso(seen.at_ns), cell(seen.note)) if seen else ("", "", "")),
    ]
