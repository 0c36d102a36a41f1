"""The addresses of a host name, as the system finds them: files, DNS, mDNS, a VPN's module."""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future

from agent.reason import Reason, Stage, UnreachedError
from quartet.foreign import shown

IpAddress = tuple[str, int]
"""An address as it is written, and its scope: the number of a network interface, or 0."""

Addresses = tuple[IpAddress, ...]

_MDNS = ".local"

# What name servers answer that block a name; to connect there reaches this very device.
_NOWHERE = ("0.0.0.0", "::")  # noqa: S104 - nothing is bound

LookUp = Callable[[str], Addresses]
"""Blocks. OSError or UnicodeError where there is no such name."""


def look_up(host: str) -> Addresses:
    """Ask the system: every address, in its order."""
    return _addresses(host, 0)


class Names:
    """Looks names up, each in a thread of its own. Loop only.

    A look-up that takes longer than its caller waits goes on: the next caller joins it. So a
    slow name server delays, and does not keep anybody from ever being connected.
    """

    def __init__(self, look_up: LookUp = look_up) -> None:
        self._look_up = look_up
        self._open: dict[str, Future[Addresses]] = {}

    async def addresses(
        self, host: str, patience_s: float, setting: str = "broker.address"
    ) -> Addresses:
        """Those of a host, at least one. UnreachedError where there is none in time.

        `setting` has the host, and is told.
        """
        with contextlib.suppress(OSError, UnicodeError):
            return _addresses(host, socket.AI_NUMERICHOST)  # nobody is asked
        if ":" in host:
            raise UnreachedError(_unusable(host, setting))
        opened = self._open.get(host)
        if opened is None:
            opened = self._open[host] = self._start(host)
        try:
            async with asyncio.timeout(patience_s):
                found = await asyncio.wrap_future(opened)
        except TimeoutError:
            reason = f"nobody answers within {patience_s:g} s what address the name {host} has"
            raise UnreachedError(_reason(host, setting, reason, is_late=True)) from None
        except UnicodeError:
            reason = f"{host!r} cannot be a host name"
            raise UnreachedError(_reason(host, setting, reason)) from None
        except OSError as error:
            said = shown(error.strerror or str(error))
            reason = f"the name {host} is not found: {said}"
            raise UnreachedError(_reason(host, setting, reason)) from None
        finally:
            if opened.done():
                self._open.pop(host, None)
        if not found:
            raise UnreachedError(_reason(host, setting, f"the name {host} has no address"))
        if all(address in _NOWHERE for address, _ in found):
            by = "by a name server or /etc/hosts"
            text = f"the name {host} is blocked, {by}: its address is {found[0][0]}"
            raise UnreachedError(_reason(host, setting, text))
        return found

    def _start(self, host: str) -> Future[Addresses]:
        future: Future[Addresses] = Future()
        future.set_running_or_notify_cancel()  # who stops waiting does not cancel it

        def run() -> None:
            try:
                future.set_result(self._look_up(host))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, name=f"look up {host}", daemon=True).start()
        return future


def _addresses(host: str, flags: int) -> Addresses:
    found: dict[IpAddress, None] = {}
    for family, _, _, _, address in socket.getaddrinfo(
        host, None, type=socket.SOCK_STREAM, flags=flags
    ):
        scope = int(address[3]) if family is socket.AF_INET6 and len(address) == 4 else 0
        found[str(address[0]).partition("%")[0], scope] = None
    return tuple(found)


def _unusable(host: str, setting: str) -> Reason:
    """Why the system takes no such IPv6 address."""
    address, _, interface = host.partition("%")
    text = f"the address {shown(host)} cannot be used"
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return Reason(Stage.NAME, f"{text}: it is not an IPv6 address", f"check {setting}")
    try:
        socket.if_nametoindex(interface)
    except OSError:
        text = f"{text}: this device has no network interface {shown(interface)}"
        return Reason(Stage.NAME, text, f"check {setting}: 'ip address' lists them")
    text = f"{text}: only link-local addresses have a network interface behind them"
    return Reason(Stage.NAME, text, f"set {setting} to {shown(address)}")


def _reason(host: str, setting: str, text: str, *, is_late: bool = False) -> Reason:
    remedy = f"check the name in {setting}: 'getent ahosts {shown(host)}' looks it up"
    if host.rstrip(".").lower().endswith(_MDNS):
        remedy += "; names in .local need the packages avahi-daemon and libnss-mdns on this device"
    return Reason(Stage.NAME, text, remedy, is_late=is_late)
