"""What a call has received and its handler has not read yet."""

import asyncio
from collections.abc import Sequence

from broker.model import Ending

# Twice an agent's default window. From here on the transport reads no further, and the
# peer is held back; it reads on when all that gathered is taken.
PAUSE_AT = 1024


class Inbox:
    """Holds messages between a transport that puts and a handler that takes. Loop only."""

    def __init__(self, pause_at: int = PAUSE_AT) -> None:
        self._pause_at = pause_at
        self._gathered: list[bytes] = []
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False
        self._error: BaseException | None = None
        self.ending: Ending | None = None
        """What the handler's side has said first."""

    def put(self, message: bytes) -> bool:
        """Add a message; whether the transport must wait for room(). After the end, drop it."""
        if self._closed:
            return False
        self._gathered.append(message)
        self._arrived.set()
        if len(self._gathered) < self._pause_at:
            return False
        self._room.clear()
        return True

    @property
    def size(self) -> int:
        """How many messages are held."""
        return len(self._gathered)

    async def room(self) -> None:
        """Wait until the transport may read on."""
        await self._room.wait()

    def close(self, error: BaseException | None = None) -> None:
        """Nothing more arrives: the peer has ended its side, or its connection has failed."""
        if not self._closed:
            self._closed, self._error = True, error
        self._arrived.set()
        self._room.set()

    def end(self, ending: Ending) -> None:
        """Take nothing more, for this reason. The first one wins."""
        self.ending = self.ending or ending
        self.close()

    async def arrival(self) -> None:
        """Wait until take() need not wait."""
        while not self._gathered and not self._closed:
            self._arrived.clear()
            await self._arrived.wait()

    async def take(self) -> Sequence[bytes]:
        """All that gathered since the last time, at least one message; none at the end.

        Raises what close() was given, after all that came before.
        """
        await self.arrival()
        taken, self._gathered = self._gathered, []
        self._room.set()
        if not taken and self._error:
            raise self._error
        return taken
