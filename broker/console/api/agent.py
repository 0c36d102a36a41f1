"""One agent: how it stands, its sessions, and what was commanded."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker.console.answers import Json
from broker.console.api.console import AGENT, Console, get
from broker.console.present.rounding import ms, ms_or_none
from broker.console.signin import Who
from broker.ledger import problem
from broker.recorder.reader import LineState, SessionAccount
from broker.records import EventKind

_MOST_SESSIONS = 20


def routes(console: Console) -> list[Route]:
    """The way to each."""

    async def agent(request: Request, _: Who) -> Response:
        name = request.path_params["name"]
        async with console.limits.questions.turn():
            line = await console.line(name)
            sessions = await console.reader.sessions(name, _MOST_SESSIONS)
            commands = await console.reader.commands(name)
        fleet = console.present.fleet()
        return Json(
            {
                "agent": name,
                "row": fleet["agents"].get(name),
                "fast": fleet["fast"].get(name),
                "peer": _peer(line),
                "oldest": ms_or_none(line.oldest_ns),
                "sessions": [_session(each) for each in sessions.newest],
                "session_count": sessions.count,
                "commands": [
                    {"name": each.name, "at": ms(each.at_ns), "applied": each.is_applied}
                    for each in commands
                ],
            }
        )

    return [get(AGENT, console, agent)]


def _peer(line: LineState) -> str:
    """Where the agent streams from, or did first, as far as that is on record."""
    if line.stream and line.stream.kind is EventKind.OPENED:
        return line.stream.text.removeprefix("from ")
    return line.peer


def _session(account: SessionAccount) -> dict[str, object]:
    return {
        "session": account.session_id,
        "first_id": account.first_id,
        "last_id": account.last_id,
        "received": account.received,
        "answered": account.answered,
        "duplicates": account.duplicates,
        "refused": account.refused,
        "gaps": account.gaps,
        "missing": account.missing,
        "balanced": not problem(account),
        "digest": account.digest,
        "rehearsal": account.is_rehearsal,
    }
