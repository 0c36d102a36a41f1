"""Sockets that listen on all addresses of a host."""

import errno
import socket
from contextlib import ExitStack

from quartet.address import Address


def listening(address: Address) -> list[socket.socket]:
    """One for each address of the host, all on one port. OSError where one cannot be had."""
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except UnicodeError as error:  # an empty label, or one of more than 63 characters
        raise socket.gaierror(socket.EAI_NONAME, "no host can have this name") from error
    sockets: list[socket.socket] = []
    port = address.port
    absent: OSError | None = None
    with ExitStack() as opened:
        for family, kind, protocol, _, place in dict.fromkeys(found):
            try:
                bound = opened.enter_context(socket.socket(family, kind, protocol))
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                bound.bind((place[0], port, *place[2:]))
            except OSError as error:
                if not is_without_ipv6(error, str(place[0])):
                    raise
                absent = error
                continue
            bound.listen()
            port = bound.getsockname()[1]
            sockets.append(bound)
        if absent and not sockets:
            raise absent
        opened.pop_all()
    return sockets


def is_without_ipv6(error: OSError, host: str) -> bool:
    """Whether this machine has IPv6 turned off, and /etc/hosts calls ::1 localhost as usual."""
    return host == "::1" and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
