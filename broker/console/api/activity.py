"""Who did what, and when: the audit, a page at a time."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker.console.answers import Json, RefusedError
from broker.console.api.console import Console, get, number_of
from broker.console.book.model import Act
from broker.console.present.rounding import ms
from broker.console.signin import Who

_USUAL = 100
_MOST = 1000

# Above the number of every act.
_NEWEST = 999_999_999


def routes(console: Console) -> list[Route]:
    """The way to it."""

    async def activity(request: Request, who: Who) -> Response:
        if not who.may_act:
            raise RefusedError(403, f"{who.name} may not see who did what: an operator may")
        most = number_of(request, "most", _USUAL, _MOST)
        before = number_of(request, "before", _NEWEST, _NEWEST)
        async with console.limits.questions.turn():
            found = await console.book.acts(before, most + 1)
        listed = [_told(number, act) for number, act in found[:most]]
        return Json({"acts": listed, "more": len(found) > most})

    return [get("/api/activity", console, activity)]


def _told(number: int, act: Act) -> dict[str, object]:
    agent, _, alarm = act.subject.partition(" ")
    return {
        "act": number,
        "at": ms(act.at_ns),
        "by": act.by,
        "address": act.address,
        "verb": act.verb,
        "agent": agent,
        "alarm": alarm,
        "detail": act.detail,
    }
