"""How a call ended, as its peer said it."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import TypeVar

import grpc

Call = grpc.aio.StreamStreamCall[bytes, bytes]

_T = TypeVar("_T")

# What grpc.aio says of itself, where a message could not be sent because the call was over.
_OWN = "Internal error from Core"


@dataclass(frozen=True, slots=True)
class Status:
    """Code, words and metadata of a call's end."""

    code: grpc.StatusCode
    details: str
    metadata: Sequence[tuple[str, str | bytes]] = ()
    """The headers of its beginning and of its end."""


def first_status(call: Call) -> "asyncio.Future[Status]":
    """What comes once the call has ended, however it ends. Loop only.

    grpc.aio puts an INTERNAL of its own over the status that the peer sent, where a message could
    not be sent because the call was over: in half of the tries. So the status is read in the
    moment in which it comes. See peers_status() for a call with messages.
    """
    heard: asyncio.Future[Status] = asyncio.get_running_loop().create_future()

    def hear(_: object) -> None:
        if not heard.done():
            heard.set_result(_at_once(_status(call)))

    call.add_done_callback(hear)
    return heard


async def peers_status(call: Call, first: "asyncio.Future[Status]") -> Status:
    """Once all messages of a call are read: how its peer ended it.

    The peer's status comes behind its messages. While some are unread, grpc.aio's own INTERNAL is
    the first one, and the peer's replaces it as soon as the last message is read.
    """
    status = await first
    is_own = status.code is grpc.StatusCode.INTERNAL and status.details == _OWN
    return await _status(call) if is_own else status


async def _status(call: Call) -> Status:
    headers = (*await call.initial_metadata(), *await call.trailing_metadata())
    return Status(await call.code(), await call.details() or "", headers)


def _at_once(coroutine: Coroutine[None, None, _T]) -> _T:
    """The result of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as result:
        value: _T = result.value
        return value
    raise AssertionError("the status of a call that has ended is there")
