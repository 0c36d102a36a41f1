"""What was: the samples of a range as a picture, its alarms, events and notes."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker.console.answers import Json
from broker.console.api.alarms import told
from broker.console.api.console import AGENT, Console, get, number_of, span_of
from broker.console.book.model import AlarmQuery, Series
from broker.console.book.series import MOST_PIXELS
from broker.console.book.writings import MOST_SHOWN
from broker.console.present.rounding import figure, ms, ms_or_none
from broker.console.signin import Who
from broker.recorder.reader import RecordedEvent, Span
from broker.records import BEGUN_BY_PERSON

# Marks in one picture: more are a stripe.
_MOST_ALARMS = 1000
_MOST_EVENTS = 1000


def routes(console: Console) -> list[Route]:
    """The way to each."""

    async def history(request: Request, _: Who) -> Response:
        name = request.path_params["name"]
        span, pixels = span_of(request), number_of(request, "px", 1000, MOST_PIXELS)
        reader, book = console.reader, console.book
        async with console.limits.questions.turn():
            line = await console.line(name)
            series = await book.series(reader, name, span, pixels)
            alarms = await book.alarms(AlarmQuery(agent_id=name, span=span, most=_MOST_ALARMS))
            events = await reader.events(name, span)
            if any(each.text == BEGUN_BY_PERSON for each in events):
                until = await reader.events(name, Span(until_ns=span.until_ns))
                told_by = named(until, await book.resets(name))
                events = [each for each in told_by if each.at_ns in span]
            notes = await book.notes(name, span)
            begins_ns = await book.begins(name)
        remarks = [*book.remarks, *filter(None, [await book.behind()])]
        if (more := len(events) - _MOST_EVENTS) > 0:
            remarks.append(f"the first {more} events of this range are left out")
        picture = await asyncio.to_thread(_series, series)
        if len(notes) > MOST_SHOWN:
            remarks.append(f"only the latest {MOST_SHOWN} notes of this range are shown")
        return Json(
            {
                "agent": name,
                "from": ms(span.since_ns),
                "to": ms(span.until_ns),
                **picture,
                "alarms": [told(each) for each in alarms],
                "events": [
                    {"at": ms(each.at_ns), "kind": each.kind.value, "text": each.text}
                    for each in events[-_MOST_EVENTS:]
                ],
                "notes": [
                    {
                        "at": ms(each.at_ns),
                        "by": each.by,
                        "text": each.text,
                        "written": ms(each.written_at_ns),
                    }
                    for each in notes[-MOST_SHOWN:]
                ],
                "oldest": ms_or_none(line.oldest_ns),
                "begins": ms_or_none(begins_ns),
                "remarks": remarks,
            }
        )

    async def numbers(request: Request, _: Who) -> Response:
        name = request.path_params["name"]
        span, pixels = span_of(request), number_of(request, "px", 1000, MOST_PIXELS)
        async with console.limits.questions.turn():
            await console.line(name)
        async with console.limits.replays.turn():
            return Json(await console.numbers.of(name, span, pixels))

    return [
        get(f"{AGENT}/history", console, history),
        get(f"{AGENT}/numbers", console, numbers),
    ]


def named(
    events: Sequence[RecordedEvent], resets: Sequence[tuple[int, str]]
) -> Sequence[RecordedEvent]:
    """The events, where a reset says who asked for it at the console: behind the one before."""
    found, former_ns = [], 0
    for event in events:
        names = [name for at_ns, name in resets if former_ns < at_ns <= event.at_ns]
        is_reset = event.text == BEGUN_BY_PERSON
        is_ours = is_reset and bool(names)
        found.append(replace(event, text=f"{names[-1]} asked for it") if is_ours else event)
        former_ns = event.at_ns if is_reset else former_ns
    return found


def _series(series: Series) -> dict[str, object]:
    head = {
        "level": series.level,
        "width": series.width_ns / 1e6,
        "t": [ms(each) for each in series.begin_ns],
    }
    if not series.width_ns:
        return {**head, "v": _figures(series.least), "p": series.trues}
    return {
        **head,
        "n": series.n,
        "trues": series.trues,
        "failed": series.failed,
        "min": _figures(series.least),
        "max": _figures(series.most),
        "mean": _figures(series.mean),
    }


def _figures(channels: Sequence[Sequence[float | None]]) -> list[list[float | None]]:
    return [[None if each is None else figure(each) for each in channel] for channel in channels]
