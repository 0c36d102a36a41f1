"""What a stream has received and not answered yet."""

import asyncio
from typing import Protocol, Self

# Twice an agent's default window. Here reading pauses, and HTTP/2's flow control
# holds the agent back; it resumes when all that gathered is taken.
_PAUSE_AT = 1024


class Messages(Protocol):
    """A stream that can be read: grpc.aio's context of a call."""

    async def read(self) -> object:
        """The next message's bytes; anything else at the end."""
        ...


class Inbox:
    """Reads a stream ahead of its answers, within bounds. Loop only; entered by its owner."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._gathered: list[bytes] = []
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = False

    def __enter__(self) -> Self:
        self._reader = asyncio.create_task(self._read())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Read no further: take() gives what was received, and then the end."""
        self._reader.cancel()
        self._ended = True
        self._arrived.set()

    async def wait(self) -> None:
        """Until there is something to take, or the end."""
        while not self._gathered and not self._ended:
            self._arrived.clear()
            await self._arrived.wait()

    async def take(self) -> list[bytes]:
        """All that gathered since the last time, at least one message; nothing at the end.

        Passes on what the reading raised, after all that came before.
        """
        await self.wait()
        taken, self._gathered = self._gathered, []
        self._room.set()
        if not taken and self._reader.done() and not self._reader.cancelled():
            self._reader.result()
        return taken

    async def _read(self) -> None:
        try:
            while isinstance(message := await self._messages.read(), bytes):
                self._gathered.append(message)
                self._arrived.set()
                if len(self._gathered) >= _PAUSE_AT:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._ended = True
            self._arrived.set()
