"""Ports of this machine, for brokers that come, go and come again."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# The states of a socket in /proc/net/tcp (proc(5)).
_LISTENS = "0A"
_IS_ESTABLISHED = "01"


@contextmanager
def kept_port() -> Iterator[int]:
    """A port on loopback. While nobody listens there, the system gives it to nobody else."""
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(("127.0.0.1", 0))
        yield place.getsockname()[1]


def unread(port: int, peers_port: int) -> int:
    """Bytes that have come over a connection and wait to be read; 0 if it is not whole. Linux."""
    for _, local, remote, state, queues, *_ in _sockets():
        if (_port(local), _port(remote), state) == (port, peers_port, _IS_ESTABLISHED):
            return int(queues.rpartition(":")[2], 16)
    return 0


def listens(pid: int, port: int) -> bool:
    """Whether all that listens on a port belongs to this process. Linux only."""
    inodes = set()
    for _, local, _, state, *rest in _sockets():
        if state == _LISTENS and _port(local) == port:
            inodes.add(f"socket:[{rest[5]}]")
    held = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            held.add(str(each.readlink()))
    return bool(inodes) and inodes <= held


def _sockets() -> Iterator[list[str]]:
    """The columns of the system's tables."""
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            yield line.split()


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
