"""Sockets that listen, and what they accept."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from broker.errors import ListenError
from quartet.address import Address, Place, UnixAddress
from quartet.outage import Outage
from quartet.sockets import is_without_ipv6

log = logging.getLogger(__name__)

# A thousand agents that come back together wait here; the system may allow fewer.
_BACKLOG = 1024

# Taken in one turn of the loop, so that streams come to theirs.
_AT_ONCE = 8

# Without file descriptors or memory nothing can be accepted; trying at once is of no use.
_PAUSE_S = 1.0
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


async def listen(address: Place, *, is_shared: bool) -> list[socket.socket]:
    """Sockets that listen there: one for each address of the host. ListenError.

    `is_shared`: other processes may listen on the same port, and get some of the connections.
    """
    if isinstance(address, Address):
        return await _listen_by_tcp(address, is_shared=is_shared)
    return [_listen_in_files(address)]


def _listen_in_files(address: UnixAddress) -> socket.socket:
    path = Path(address.path)
    listening = socket.socket(socket.AF_UNIX)
    try:
        if path.is_socket() and not _is_answered(path):
            path.unlink()  # of a broker that was killed
        listening.setblocking(False)
        listening.bind(str(path))  # who may write to it may connect: by the umask, its owner
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ListenError(f"cannot listen on {address}: {error.strerror}") from error
    return listening


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            return False
        return True


async def _listen_by_tcp(address: Address, *, is_shared: bool) -> list[socket.socket]:
    with ExitStack() as opened:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                *(address.host, address.port),
                type=socket.SOCK_STREAM,
                flags=socket.AI_PASSIVE,
            )
            sockets: list[socket.socket] = []
            absent: OSError | None = None
            for family, place in dict.fromkeys((each[0], each[4]) for each in found):
                # Of port 0, all are on the port that the first one got.
                port = sockets[0].getsockname()[1] if sockets else place[1]
                try:
                    made = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
                    _bind(made, (place[0], port, *place[2:]), is_shared=is_shared)
                except OSError as error:
                    if not is_without_ipv6(error, str(place[0])):
                        raise
                    absent = error
                else:
                    sockets.append(made)
            if absent and not sockets:
                raise absent
        except (OSError, UnicodeError) as error:
            raise ListenError(
                f"cannot listen on {address}: the port is in use, or the address is not"
                f" this machine's; see 'ss -ltnp'"
            ) from error
        opened.pop_all()
    return sockets


def _bind(listening: socket.socket, place: tuple[object, ...], *, is_shared: bool) -> None:
    listening.setblocking(False)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(is_shared))
    if listening.family == socket.AF_INET6:  # all addresses of the machine are those of IPv4 too
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(place[0] != "::"))
    listening.bind(place)
    listening.listen(_BACKLOG)


class Listening:
    """Gives each connection that comes in to `take`, until it is closed. Loop only."""

    def __init__(
        self, sockets: Sequence[socket.socket], take: Callable[[socket.socket], None]
    ) -> None:
        self._sockets: Sequence[socket.socket] = sockets
        self._take = take
        self._paused: dict[socket.socket, asyncio.TimerHandle] = {}
        self._shortage = Outage(log)
        self._loop = asyncio.get_running_loop()
        for listening in sockets:
            self._loop.add_reader(listening, self._accept, listening)

    def close(self) -> None:
        """Accept no more."""
        for timer in self._paused.values():
            timer.cancel()
        for listening in self._sockets:
            self._loop.remove_reader(listening)
            if listening.family == socket.AF_UNIX:
                Path(listening.getsockname()).unlink(missing_ok=True)
            listening.close()
        self._sockets = ()

    def _accept(self, listening: socket.socket) -> None:
        try:
            for accepted in _accepted(listening):
                self._take(accepted)
                self._shortage.ended("new connections are accepted again")
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self._shortage.failed(
                "no connection can be accepted (%s): raise the limit of open files of the broker",
                error.strerror,
            )
            self._loop.remove_reader(listening)
            self._paused[listening] = self._loop.call_later(_PAUSE_S, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        del self._paused[listening]
        self._loop.add_reader(listening, self._accept, listening)


def _accepted(listening: socket.socket) -> Iterator[socket.socket]:
    for _ in range(_AT_ONCE):
        try:
            accepted, _address = listening.accept()
        except BlockingIOError:
            return
        except ConnectionError:  # it was gone before
            continue
        accepted.setblocking(False)
        yield accepted
