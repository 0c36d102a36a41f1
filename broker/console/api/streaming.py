"""An answer that goes on for a while: whether anybody still takes it, and may."""

import asyncio
import contextlib
from collections.abc import Awaitable, Sequence
from typing import Any

from starlette.types import Receive, Scope

from broker.console.answers import CLOSE
from broker.console.signin import SignIn, Who
from quartet.errors import StoreError

# How soon whoever is signed out sees nothing more.
_LOOK_S = 2.0


async def gone(receive: Receive) -> None:
    """Return when the browser has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def signed_out(sign_in: SignIn, who: Who) -> None:
    """Return when somebody may no longer see what they began to see."""
    holds = True
    while holds:
        await asyncio.sleep(_LOOK_S)
        with contextlib.suppress(StoreError):
            holds = await sign_in.still_holds(who)


async def cut(scope: Scope, receive: Receive) -> None:
    """Close the connection of an answer that has no end, so that nobody takes it for whole."""
    scope["state"][CLOSE]()
    await gone(receive)


async def until(work: Awaitable[None], ends: Sequence["asyncio.Task[Any]"]) -> bool:
    """Do the work until it is done, or one of the ends is: whether the work is done.

    Raises what the work raises. The ends are over afterwards.
    """
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait([*ends, working], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (working, *ends):
            task.cancel()
        await asyncio.wait([working, *ends])
    if working.cancelled():
        return False
    working.result()
    return True
