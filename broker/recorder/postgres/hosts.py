"""Which of the servers that a URL names: all are asked at once, so that a dead one delays none."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import asyncpg

Wanted = Literal["read-write", "standby", "any"]

Connect = Callable[[str, Wanted], Coroutine[None, None, asyncpg.Connection]]
"""Connects to the one server of a URL, if it is what is wanted."""


async def first(url: str, connect: Connect, wanted: Wanted) -> asyncpg.Connection:
    """A connection to the first server that answers, and is what is wanted.

    Raises what the servers say, or asyncpg; of several, what says most.
    """
    tries = {asyncio.create_task(connect(each, wanted)) for each in each_of(url)}
    errors: list[BaseException] = []
    waiting = set(tries)
    try:
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                if _is_connected(each):
                    tries.remove(each)
                    return each.result()
                if error := each.exception():
                    errors.append(error)
    finally:
        for each in tries:
            each.add_done_callback(_drop)
            each.cancel()
    raise min(errors, key=lambda error: isinstance(error, asyncpg.TargetServerAttributeNotMatched))


def each_of(url: str) -> Sequence[str]:
    """The same URL for each of its servers."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts:
        return [url]
    netlocs = [f"{user}{at}{host}" for host in hosts.split(",")]
    return [urlunsplit(parts._replace(netloc=netloc)) for netloc in netlocs]


def _is_connected(task: "asyncio.Task[asyncpg.Connection]") -> bool:
    return not task.cancelled() and task.exception() is None


def _drop(task: "asyncio.Task[asyncpg.Connection]") -> None:
    if _is_connected(task):
        task.result().terminate()
