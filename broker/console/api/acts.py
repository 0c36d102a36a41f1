"""What an operator does: acknowledge, note, reset."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker.console.answers import Json, RefusedError
from broker.console.api.alarms import alarm_id
from broker.console.api.console import AGENT, Actor, Console, Signed, moment, post
from broker.console.book.model import ASKED_FOR_RESET, MOST_TEXT
from broker.errors import CommandError


class Acknowledged(Signed):
    """Somebody has seen an alarm."""

    note: str = ""


class Noted(Signed):
    """Something that somebody has to say about a time."""

    at: float = -1.0
    text: str = ""


# The fleet page shows an alarm a second or two before it is in the history.
_READ_S = 5.0
_LOOK_AGAIN_S = 0.2


def routes(console: Console) -> list[Route]:
    """The way to each."""

    async def acknowledge(request: Request, body: Acknowledged, actor: Actor) -> Response:
        name, alarm = request.path_params["name"], request.path_params["alarm"]
        note = _text(body.note, "note", least=0)
        begun_at_ns = alarm_id(alarm)
        what = (actor.in_audit, "acknowledged", f"{name} {alarm}", note)
        until_s = console.clock.monotonic() + _READ_S
        async with console.recorded(request, *what):
            while True:
                try:
                    async with console.limits.questions.turn():
                        await console.book.acknowledge(name, begun_at_ns, actor.name, note)
                except CommandError as error:
                    refusal = _refused(console, name, alarm, error)
                    if refusal.status != 409 or console.clock.monotonic() >= until_s:
                        raise refusal from error
                else:
                    return Json({})
                await asyncio.sleep(_LOOK_AGAIN_S)

    async def add_note(request: Request, body: Noted, actor: Actor) -> Response:
        name = request.path_params["name"]
        at_ns, text = moment(body.at, "at"), _text(body.text, "text", least=1)
        async with console.limits.questions.turn():
            await console.line(name)
            async with console.recorded(request, actor.in_audit, "noted", name, text):
                try:
                    await console.book.add_note(name, at_ns, actor.name, text)
                except CommandError as error:
                    raise RefusedError(409, str(error)) from error
        return Json({})

    async def rebase(request: Request, _: Signed, actor: Actor) -> Response:
        name = request.path_params["name"]
        async with console.limits.questions.turn():
            await console.line(name)
            async with console.recorded(request, actor.in_audit, "reset the predictor", name):
                is_running = await console.reader.command_rebase(name)
                at_ns = console.clock.time_ns()
                await console.book.add_note(name, at_ns, actor.name, ASKED_FOR_RESET)
        return Json({"running": is_running})

    return [
        post(f"{AGENT}/alarms/{{alarm}}/acknowledge", console, Acknowledged, acknowledge),
        post(f"{AGENT}/notes", console, Noted, add_note),
        post(f"{AGENT}/rebase", console, Signed, rebase),
    ]


def _refused(console: Console, agent_id: str, alarm: str, error: CommandError) -> RefusedError:
    """Why there is no such alarm in the history: it was never, or is not read yet."""
    row = console.present.fleet()["agents"].get(agent_id) or {}
    if (row.get("alarm") or {}).get("id") != alarm:
        return RefusedError(404, str(error))
    said = f"{agent_id}: history is being read, but not up to this alarm yet: try again soon"
    return RefusedError(409, said)


def _text(text: str, name: str, *, least: int) -> str:
    text = text.strip()
    if not least <= len(text) <= MOST_TEXT:
        raise RefusedError(400, f"{name}: expected {least} to {MOST_TEXT} characters")
    return text
