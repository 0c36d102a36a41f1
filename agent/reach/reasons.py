"""Why a broker is not reached: how far the connection came, and what was seen there. Pure.

gRPC tells it in its own words, which differ from version to version. What none of the marks
below fits is told as gRPC says it.
"""

import re
from collections.abc import Iterable
from dataclasses import replace

from agent.credentials import Credentials
from agent.reason import CLOSED, Reason, Stage
from quartet.foreign import shown

# How gRPC's reason begins where no connection came about.
_NEVER_CONNECTED = re.compile(r"failed to connect to all addresses; last error: \w+: (\S+?): (.*)")

_STATUS = re.compile("Received http2 header with status: ([0-9]+)")
_HTTP1 = re.compile(r"http1\.x server(?: \(HTTP status ([0-9]+)\))?")
_PROXY = re.compile("HTTP proxy returned response code ([0-9]+)")
_NO_HTTP = re.compile("Expected (?!SETTINGS)")
_RESET = re.compile("Received RST_STREAM with error code ([0-9]+)")
_GOAWAY = re.compile("GOAWAY received; Error code: ([0-9]+); Debug Text: ([^)]*)")
_NUMBER = re.compile(r" \([0-9]+\)$")

_TOO_LATE = ("tcp handshaker shutdown", "timed out", "Timeout occurred", "FD Shutdown")
_CONNECT = ("Failed to connect to remote host", "connect failed", "connect: ")
_HANDSHAKE = "Handshake read failed"
_NO_STATUS = re.compile("Data frame with END_STREAM|Stream removed$")
_BROKEN = ("Socket closed", "recvmsg:", "sendmsg:", "Broken pipe", "Connection reset by peer")
_MUTE = "timed out before receiving SETTINGS frame"
_NO_HTTP2 = ("Failed parsing HTTP/2", "Expected SETTINGS frame")

_NO_ANSWER_OF_PROXY = "Endpoint closing"
_WANTS_LOGIN = "407"
_NO_BROKER = {"502", "503", "504"}

_OTHER_PROXY = "check broker.proxy: what listens there may be no HTTP proxy"
_NO_LOGIN = "let that proxy pass this device without a password: the agent gives none"
_OTHER_PROGRAM = "check broker.address: another program listens there"
_OTHER_OR_HUNG = f"{_OTHER_PROGRAM}, or the broker hangs"
_SEE_LOG = "see the broker's log, and that of any proxy on the way"
_MAYBE_BETWEEN = "check that the broker runs, and what stands in between: a proxy, a firewall"
_BETWEEN = "check broker.address, and the proxy or server that answers there"


def reason_of(
    details: str, credentials: Credentials, patience_s: float, *, by_proxy: bool
) -> Reason | None:
    """What gRPC says of a call, where that is not the broker's own word; None where it may be.

    The patience is that of the way.
    """
    found = _NEVER_CONNECTED.match(details)
    if not found:
        return _on_the_way(details)
    where, said = _host_and_port(found[1]), found[2]
    return (
        (_at_proxy(where, said, patience_s) if by_proxy else None)
        or _connecting(where, said, patience_s)
        or _beginning(said, patience_s, is_tls=credentials.is_tls)
        or credentials.reason_of(said)
        or Reason(Stage.CONNECT, shown(said), "see the message above")
    )


def server_of(headers: Iterable[tuple[str, str | bytes]]) -> str:
    """What names itself in a call's headers: no broker does, proxies do."""
    return next((str(value) for key, value in headers if key == "server"), "")


def word(code: str, details: str, server: str) -> str:
    """A status that came by gRPC, and what says on the way that it passed it on or made it."""
    passed_by = f" (by way of {shown(server)})" if server else ""
    return f"{code}: {shown(details)}{passed_by}"


def _on_the_way(details: str) -> Reason | None:
    """What became of a call on a connection."""
    if _NO_STATUS.search(details):
        text = "the call ended without a status of gRPC, which no broker does"
        return Reason(Stage.SERVICE, text, _BETWEEN)
    details = details.removeprefix("Stream removed (").removeprefix("RST_STREAM (")
    if found := _STATUS.match(details):
        text = f"HTTP status {found[1]}, which no broker sends: a proxy or another server answers"
        return Reason(Stage.SERVICE, text, _BETWEEN)
    if found := _RESET.match(details):
        text = f"the call was reset, by the broker or on the way (HTTP/2 error {found[1]})"
        return Reason(Stage.SERVICE, text, _BETWEEN)
    if found := _GOAWAY.match(details):
        said = f": {shown(found[2])}" if found[2] else ""
        text = f"the connection was closed (GOAWAY, error {found[1]}{said})"
        return Reason(Stage.HTTP2, text, _SEE_LOG)
    if details.startswith(_BROKEN):
        return Reason(Stage.HTTP2, "the connection was closed", _SEE_LOG)
    return None


def _at_proxy(where: str, said: str, patience_s: float) -> Reason | None:
    """What came before the proxy had connected."""
    if found := _PROXY.search(said):
        text = f"the proxy at {where} does not connect: it answers HTTP status {found[1]}"
        remedy = "what that proxy allows"
        if found[1] == _WANTS_LOGIN:
            remedy = _NO_LOGIN
        elif found[1] in _NO_BROKER:
            remedy = "that the broker runs and the proxy reaches it"
        return Reason(Stage.CONNECT, text, f"check broker.proxy, and {remedy}")
    if said.startswith(_NO_ANSWER_OF_PROXY):
        text = f"the proxy at {where} does not answer within {patience_s:g} s"
        return Reason(Stage.CONNECT, text, f"{_OTHER_PROXY}, or is slow", is_late=True)
    if _NO_HTTP.match(said):
        text = f"what the proxy at {where} answers is not HTTP"
        return Reason(Stage.CONNECT, text, _OTHER_PROXY)
    if said.startswith(CLOSED) or said.startswith(_BROKEN):
        text = f"the connection is closed, by the proxy at {where} or behind it"
        return Reason(Stage.CONNECT, text, "check broker.proxy; see that proxy's log")
    if reason := _connecting(where, said, patience_s):
        remedy = "check broker.proxy, and that the proxy runs"
        return replace(reason, text=f"proxy: {reason.text}", remedy=remedy)
    return None


def _connecting(where: str, said: str, patience_s: float) -> Reason | None:
    if _MUTE not in said and any(mark in said for mark in _TOO_LATE):
        return Reason(
            Stage.CONNECT,
            f"it cannot be reached at {where}: no answer within {patience_s:g} s",
            "check that the machine is on and in this network, and that no firewall drops the port",
            is_late=True,
        )
    if any(mark in said for mark in _CONNECT):
        said = _NUMBER.sub("", said).rpartition(": ")[2]
        return Reason(
            Stage.CONNECT,
            f"it cannot be reached at {where}: {shown(said)}",
            "start it there with 'broker run', or set broker.address",
        )
    return None


def _beginning(said: str, patience_s: float, *, is_tls: bool) -> Reason | None:
    """What came after the connection, and before HTTP/2 had begun."""
    if _MUTE in said:
        after = "finishes the TLS handshake" if is_tls else "accepts the connection"
        text = f"it {after}, and then sends nothing within {patience_s:g} s"
        return Reason(Stage.HTTP2, text, _OTHER_OR_HUNG, is_late=True)
    if found := _HTTP1.search(said):
        status = f" (status {found[1]})" if found[1] else ""
        text = f"it answers by HTTP/1{status}, not HTTP/2: a web server or a proxy listens there"
        return Reason(Stage.HTTP2, text, _BETWEEN)
    if any(mark in said for mark in _NO_HTTP2):
        return Reason(Stage.HTTP2, "what it answers is not HTTP/2", _OTHER_PROGRAM)
    return _in_handshake(said, patience_s) if is_tls else _in_the_clear(said)


def _in_handshake(said: str, patience_s: float) -> Reason | None:
    if _HANDSHAKE not in said:
        return None
    if any(mark in said for mark in CLOSED):
        text = "it closes the connection in the TLS handshake, without a word"
        return Reason(Stage.TLS, text, _MAYBE_BETWEEN)
    text = f"it accepts the connection, and does not finish TLS within {patience_s:g} s"
    return Reason(Stage.TLS, text, _OTHER_OR_HUNG, is_late=True)


def _in_the_clear(said: str) -> Reason | None:
    if not any(mark in said for mark in CLOSED):
        return None
    text = "it closes the connection before HTTP/2 begins: it may require TLS"
    return Reason(Stage.HTTP2, text, f"{_OTHER_PROGRAM}, or it requires [tls] here")


def _host_and_port(where: str) -> str:
    """gRPC's `ipv4:127.0.0.1:1`, `ipv6:%5B::1%5D:1` as HOST:PORT."""
    return shown(where.partition(":")[2].replace("%5B", "[").replace("%5D", "]"))
