"""Ports of this machine, for brokers that come, go and come again."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# The state of a socket in /proc/net/tcp (proc(5)).
_LISTENS = "0A"


@contextmanager
def kept_port() -> Iterator[int]:
    """A port on loopback. While nobody listens there, the system gives it to nobody else."""
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(("127.0.0.1", 0))
        yield place.getsockname()[1]


def listens(pid: int, port: int) -> bool:
    """Whether all that listens on a port belongs to this process. Linux only."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == _LISTENS and int(local.rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{rest[5]}]")
    held = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            held.add(str(each.readlink()))
    return bool(inodes) and inodes <= held
