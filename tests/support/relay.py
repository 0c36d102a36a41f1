"""What stands between a broker and its server: a cable that a test cuts."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress


class Relay:
    """Passes on what comes, both ways, until it is told otherwise."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sockets: list[socket.socket] = []
        self.port = 0
        self.is_mute = False
        """Nothing of what the server says arrives."""
        self.sent = 0
        """Bytes that have come for the server so far."""
        self.held = asyncio.Event()
        """Set when something waits for release()."""
        self._room: int | None = None
        self._released = asyncio.Event()
        self.change: Callable[[bytes], bytes] = bytes
        """What becomes of what the server says."""

    def accept(self, listening: socket.socket) -> None:
        """Have one connection more: it is ours from now on, so that the end finds it."""
        connection, _ = listening.accept()
        connection.setblocking(False)
        self._sockets.append(connection)
        self._tasks.add(asyncio.create_task(self._serve(connection)))

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        self._writers.add(writer)
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(back)
        tasks = {
            asyncio.create_task(self._pass_on(reader, back, from_server=False)),
            asyncio.create_task(self._pass_on(there, writer, from_server=True)),
        }
        self._tasks |= tasks
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for each in (writer, back):
            each.close()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_server: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if from_server and self.is_mute:
                    continue
                writer.write(
                    self.change(data) if from_server else await self._admitted(data, writer)
                )
                await writer.drain()

    async def _admitted(self, data: bytes, server: asyncio.StreamWriter) -> bytes:
        """What of this is left to be sent, once all of it may be."""
        self.sent += len(data)
        if self._room is None:
            return data
        now, later = data[: self._room], data[self._room :]
        self._room -= len(now)
        if later:
            server.write(now)
            self.held.set()
            await self._released.wait()
            return later
        return now

    def hold(self, after: int) -> None:
        """Have so many bytes more reach the server; the rest waits for release()."""
        self._room = after

    def release(self) -> None:
        """Pass on what waits, and all that comes."""
        self._room = None
        self._released.set()

    def cut(self) -> None:
        """End all connections at once."""
        for each in self._writers:
            each.transport.abort()
        self._writers.clear()

    async def end(self) -> None:
        """Wait for those who passed on."""
        self.cut()
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in self._sockets:
            connection.close()


@asynccontextmanager
async def relayed(target: int) -> AsyncIterator[Relay]:
    """A relay to a port of this machine, while entered."""
    relay = Relay(target)
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        relay.port = listening.getsockname()[1]
        loop.add_reader(listening, relay.accept, listening)
        try:
            yield relay
        finally:
            loop.remove_reader(listening)
            await relay.end()
