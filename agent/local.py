"""The running agent's Unix sockets: one gives its state, the other one takes an order.

Each connection gets one document. To give an order, say it in a line first.
"""

import asyncio
import contextlib
import logging
import os
import pwd
import select
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from quartet.foreign import shown

log = logging.getLogger(__name__)

SOCKET = "status.sock"
"""The name of the socket that gives the state, in the spool's directory in RAM."""

RELEASE_SOCKET = "release.sock"
"""The name of the socket that takes the order to release the alarm output."""

# Linux takes 107 bytes, macOS 103.
_MOST_IN_ADDRESS = 100

# An agent that is alive answers at once, and who gives an order says it at once.
_PATIENCE_S = 5.0

# Of an order: the name of who gives it. A name of a user has 32 characters at the most.
_MOST_IN_ORDER = 256

# struct ucred: process, user, group.
_CREDENTIALS = struct.Struct("3i")

# More than any document has.
_MOST_BYTES = 65_536


@asynccontextmanager
async def answering(directory: Path, document: Callable[[], bytes]) -> AsyncIterator[None]:
    """Answer each connection with the document of that moment, while entered.

    Only the user of this process can connect. Where the directory takes no socket, this is
    logged, and nobody can ask. The directory must be ours alone: a socket there is a leftover.
    """
    async with _serving(directory, SOCKET, "status", lambda: _Answer(document)):
        yield


@asynccontextmanager
async def obeying(directory: Path, release: Callable[[str], bytes]) -> AsyncIterator[None]:
    """Release at each order, while entered; what `release` gives is the answer.

    It is told who gives the order, by what the kernel says of the peer. As answering().
    """
    peers: set[asyncio.WriteTransport] = set()
    async with _serving(directory, RELEASE_SOCKET, "release", lambda: _Obedience(release, peers)):
        try:
            yield
        finally:  # an order that comes now would be obeyed by an agent that has ended
            for peer in tuple(peers):
                peer.abort()


@asynccontextmanager
async def _serving(
    directory: Path, name: str, command: str, protocol: Callable[[], asyncio.Protocol]
) -> AsyncIterator[None]:
    path = directory / name
    try:
        listener = _listen(path)
    except OSError as error:
        reason = shown(error.strerror)
        log.warning("'agent %s' cannot ask this agent: %s: %s", command, path, reason)
        yield
        return
    server = await asyncio.get_running_loop().create_unix_server(protocol, sock=listener)
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
    return _exchange(directory / SOCKET, b"", patience_s)


def order_release(directory: Path, name: str, patience_s: float = _PATIENCE_S) -> bytes:
    """The answer to the order to release the alarm output; OSErrors as ask().

    `name` is who gives it, where root gives it for somebody, and otherwise empty.
    """
    order = name.encode(errors="replace")[: _MOST_IN_ORDER - 1].replace(b"\n", b" ")
    return _exchange(directory / RELEASE_SOCKET, order + b"\n", patience_s)


def _exchange(path: Path, order: bytes, patience_s: float) -> bytes:
    with _address(path) as address, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(patience_s)
        asking.connect(address)
        if order:
            asking.sendall(order)
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


class _Obedience(asyncio.Protocol):
    """One connection. Nothing is done before its line is whole, and nothing twice.

    Nor for one who has left: that one was told that the agent does not answer, and an output
    that lets go later would surprise.
    """

    def __init__(self, release: Callable[[str], bytes], peers: set[asyncio.WriteTransport]) -> None:
        self._release = release
        self._peers = peers  # with an open connection
        self._said = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            self._transport = transport
            self._peers.add(transport)
            self._late = asyncio.get_running_loop().call_later(_PATIENCE_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        self._said += data
        name, end, _ = self._said.partition(b"\n")
        if not end and len(self._said) < _MOST_IN_ORDER:
            return
        try:
            if not end:
                return
            peer = self._transport.get_extra_info("socket")
            who = _who(peer, name.decode(errors="replace"))
            if _has_left(peer):
                log.warning("%s gave an order, and left before it was read: not obeyed", who)
                return
            self._transport.write(self._release(who))
        finally:
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        self._late.cancel()
        self._peers.discard(self._transport)


def _who(peer: socket.socket, name: str) -> str:
    """The user at the other end, as the kernel knows it; for whom, if it is root who says so."""
    option = getattr(socket, "SO_PEERCRED", None)  # Linux has it
    if option is None:
        return "a user of this computer"
    credentials = peer.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(credentials)
    try:
        known = f"{pwd.getpwuid(user).pw_name} (uid {user})"
    except KeyError:
        known = f"uid {user}"
    return f"{known} for {shown(name)}" if name and user == 0 else known


def _has_left(peer: socket.socket) -> bool:
    poll = select.poll()
    poll.register(peer, select.POLLHUP)
    return bool(poll.poll(0))


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
