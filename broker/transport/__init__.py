"""How calls come in. A transport moves bytes and decides nothing."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Protocol

from broker.model import Ending

Room = Callable[[], Awaitable[None]]
"""Waits until there is room for more messages."""


class Call(Protocol):
    """One call of a peer. Loop only.

    A unary call is one message each way: read() once, write() once.
    """

    @property
    def method(self) -> str:
        """Its whole path: /package.Service/Method."""
        ...

    @property
    def peer(self) -> str:
        """The other end's HOST:PORT."""
        ...

    @property
    def metadata(self) -> Sequence[tuple[str, str | bytes]]:
        """What the peer has sent before its messages."""
        ...

    @property
    def certificate(self) -> bytes | None:
        """What the peer has shown, in PEM, and the handshake has verified."""
        ...

    async def read(self, room: Room | None = None) -> Sequence[bytes]:
        """All messages that arrived since the last time, at least one; none at the end.

        `room` is awaited as soon as there are some: until then they stay as they came, which
        takes less memory.

        The end is the peer's, or end(). LostError where the connection broke, after all that
        arrived before. Who does not read holds the peer back.
        """
        ...

    async def write(self, messages: Sequence[bytes]) -> None:
        """Send messages at once, in their order; return when the peer can take more.

        LostError where the connection broke.

        end() does not wake who waits here.
        """
        ...

    def end(self, ending: Ending) -> None:
        """End the call with this status once its handler returns. At any time.

        Nothing more is received: read() gives what has arrived, and then nothing. The first
        ending wins; without one, the call ends with OK.
        """
        ...


Handler = Callable[[Call], Awaitable[None]]
"""Serves one call, in a task of its own; the call ends when it returns.

It is cancelled when the connection breaks; and whoever has its task may cancel it: the peer is
told the ending then, if one was given. It may let a LostError through. What else it raises is
INTERNAL for the peer, unless an ending was given, and is logged.
"""


class Health(Enum):
    """What a transport tells those who ask whether the broker serves."""

    SERVING = "SERVING"
    NOT_SERVING = "NOT_SERVING"


class Transport(Protocol):
    """Accepts calls, and gives each to the handler of its method. Loop only."""

    async def start(self, handlers: Mapping[str, Handler]) -> int:
        """Accept calls of these methods, by their paths; the port. ListenError where it cannot.

        Calls of other methods end with UNIMPLEMENTED.
        """
        ...

    async def show(self, health: Health) -> None:
        """Tell this state from now on; NOT_SERVING until the first time."""
        ...

    async def stop(self, grace_s: float) -> None:
        """Accept no more; cut the calls that are left after the grace."""
        ...
