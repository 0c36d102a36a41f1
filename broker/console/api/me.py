"""Who asks, what this console is; signing in and out."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker.console.answers import Json, RefusedError
from broker.console.api.console import Console, Signed, address_of, body_of
from quartet.distribution import version
from quartet.foreign import shown


class Credentials(Signed):
    """What somebody signs in with."""

    name: str = ""
    password: str = ""


def routes(console: Console) -> list[Route]:
    """The way to each."""

    async def me(request: Request) -> Response:
        sign_in = console.sign_in
        is_needed, who = await sign_in.is_needed(), await sign_in.who(request.cookies)
        return Json(
            {
                "user": who and who.name,
                "role": who.role if who else "viewer",
                "signed_in": bool(who and who.name),
                "needs_sign_in": is_needed,
                "token": who.token if who else "",
                "version": version(),
                "store": str(console.store) if who else "",
            }
        )

    async def enter(request: Request) -> Response:
        if not await console.sign_in.is_needed():
            raise RefusedError(409, "nobody needs to sign in to this console")
        given = await body_of(request, Credentials)
        address = address_of(request)
        name = shown(given.name, 64)
        try:
            cookie = await console.sign_in.sign_in(given.name, given.password, address)
        except RefusedError as refused:
            if refused.status == 401:
                await console.record(request, name, "failed to sign in")
            raise
        await console.record(request, name, "signed in")
        return Json({"user": given.name}, headers={"Set-Cookie": cookie})

    async def leave(request: Request) -> Response:
        who = await console.sign_in.who(request.cookies)
        if who is None or who.name is None:
            return Json({})
        if request.headers.get("x-quartet-token") != who.token:
            raise RefusedError(403, "this page is out of date: load it again, then try again")
        cookie = await console.sign_in.sign_out(who)
        await console.record(request, who.name, "signed out")
        return Json({}, headers={"Set-Cookie": cookie})

    return [
        Route("/api/me", me),
        Route("/api/signin", enter, methods=["POST"]),
        Route("/api/signout", leave, methods=["POST"]),
    ]
