"""The pages, and the styles, scripts and pictures that they name: files beside this one."""

import hashlib
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker.console.answers import RefusedError

_PAGES = Path(__file__).parent / "pages"
_STATIC = Path(__file__).parent / "static"

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}\.(css|html|ico|js|png|svg)")

_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "png": "image/png",
    "svg": "image/svg+xml",
}


def routes() -> list[Route]:
    """The way to each page and file."""
    return [
        Route("/", _page("fleet.html")),
        Route("/agent/{name}", _page("agent.html")),
        Route("/compare", _page("compare.html")),
        Route("/alarms", _page("alarms.html")),
        Route("/activity", _page("activity.html")),
        Route("/signin", _page("signin.html")),
        Route("/static/{file}", _static),
    ]


def unknown(request: Request) -> Response:
    """A page that leads on, for a person; else RefusedError."""
    if "text/html" not in request.headers.get("Accept", ""):
        raise RefusedError(404, f"{request.url.path}: there is no such page")
    content = (_PAGES / "unknown.html").read_bytes()
    return Response(content, 404, headers={"Content-Type": _TYPES["html"]})


def _page(file: str) -> Callable[[Request], Awaitable[Response]]:
    async def page(request: Request) -> Response:
        return _file(request, _PAGES, file)

    return page


async def _static(request: Request) -> Response:
    return _file(request, _STATIC, request.path_params["file"])


def _file(request: Request, folder: Path, name: str) -> Response:
    """A file, or that the browser has it. It is asked for each time: a new version counts."""
    path = folder / name
    if not _NAME.fullmatch(name) or not path.is_file():
        return unknown(request)
    content = path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"Cache-Control": "no-cache", "ETag": tag}
    if tag in request.headers.get("If-None-Match", ""):
        return Response(status_code=304, headers=headers)
    headers["Content-Type"] = _TYPES[name.rpartition(".")[2]]
    return Response(content, headers=headers)
