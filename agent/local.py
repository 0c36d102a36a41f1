"""The running agent's Unix socket: it gives each who connects one document."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from quartet.foreign import shown

log = logging.getLogger(__name__)

SOCKET = "status.sock"
"""The name of the socket in the spool's directory in RAM."""

# Linux takes 107 bytes, macOS 103.
_MOST_IN_ADDRESS = 100

# An agent that is alive answers at once.
_PATIENCE_S = 5.0

# More than any document has.
_MOST_BYTES = 65_536


@asynccontextmanager
async def answering(directory: Path, document: Callable[[], bytes]) -> AsyncIterator[None]:
    """Answer each connection with the document of that moment, while entered.

    Only the user of this process can connect. Where the directory takes no socket, this is
    logged, and nobody can ask. The directory must be ours alone: a socket there is a leftover.
    """
    path = directory / SOCKET
    try:
        listener = _listen(path)
    except OSError as error:
        log.warning("'agent status' cannot ask this agent: %s: %s", path, shown(error.strerror))
        yield
        return
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: _Answer(document), sock=listener)
    try:
        yield
    finally:
        server.close()
        with contextlib.suppress(OSError):
            path.unlink()


def ask(directory: Path, patience_s: float = _PATIENCE_S) -> bytes:
    """The document of the agent that runs here.

    FileNotFoundError or ConnectionRefusedError where none does, PermissionError where it is
    another user's, TimeoutError where it hangs, ConnectionAbortedError where it says nothing;
    another OSError where the socket is beyond reach.
    """
    with (
        _address(directory / SOCKET) as address,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking,
    ):
        asking.settimeout(patience_s)
        asking.connect(address)
        with asking.makefile("rb") as answer:
            document = answer.read(_MOST_BYTES)
    if not document:
        raise ConnectionAbortedError("no document")
    return document


class _Answer(asyncio.Protocol):
    """One connection. The document fits into the socket's buffer: nobody is waited for."""

    def __init__(self, document: Callable[[], bytes]) -> None:
        self._document = document

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            try:
                transport.write(self._document())
            finally:
                transport.close()


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _address(path) as address:
            listener.bind(address)
        path.chmod(0o600)  # nobody can connect before listen()
    except OSError:
        listener.close()
        raise
    return listener


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """The path, or a shorter one to the same: an address of a socket holds few bytes."""
    if len(os.fsencode(path)) <= _MOST_IN_ADDRESS:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
