"""Why a broker is not reached: how far the connection came, and what was seen there. Pure.

gRPC tells it in its own words, which differ from version to version. Each table below has the
signs of one stage: the first one that fits counts. What none of them fits is told as gRPC says it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote

from agent.credentials import Credentials
from agent.reason import CLOSED, Reason, Stage
from quartet.foreign import shown

_SEE_LOG = "see the broker's log, and that of any proxy on the way"
_BETWEEN = "check broker.address, and the proxy or server that answers there"
_OTHER_PROGRAM = "check broker.address: another program listens there"
_OTHER_OR_HUNG = f"{_OTHER_PROGRAM}, or the broker hangs"
_PROXY = "check broker.proxy, and"
_OTHER_PROXY = "check broker.proxy: what listens there may be no HTTP proxy"


@dataclass(frozen=True, slots=True)
class _Sign:
    """What gRPC says at a stage, and what it means.

    `text` may name `{where}` (HOST:PORT), `{within}` (the patience in s) and the pattern's groups.
    """

    pattern: str
    text: str
    remedy: str
    is_late: bool = False


_Signs = tuple[_Sign, ...]

_CLOSED = "|".join(CLOSED)
_HANG_UP = f"^(?:{_CLOSED}|recvmsg:|sendmsg:)"
_TOO_LATE = "tcp handshaker shutdown|timed out|Timeout occurred|FD Shutdown"
_MUTE = "timed out before receiving SETTINGS frame"

# Before the proxy had connected: stage CONNECT.
_AT_PROXY: _Signs = (
    _Sign(
        "HTTP proxy returned response code (?P<status>407)",
        "the proxy at {where} does not connect: it answers HTTP status {status}",
        f"{_PROXY} let that proxy pass this device without a password: the agent gives none",
    ),
    _Sign(
        "HTTP proxy returned response code (?P<status>50[234])",
        "the proxy at {where} does not connect: it answers HTTP status {status}",
        f"{_PROXY} that the broker runs and the proxy reaches it",
    ),
    _Sign(
        "HTTP proxy returned response code (?P<status>[0-9]+)",
        "the proxy at {where} does not connect: it answers HTTP status {status}",
        f"{_PROXY} what that proxy allows",
    ),
    _Sign(
        "^Endpoint closing",
        "the proxy at {where} does not answer within {within} s",
        f"{_OTHER_PROXY}, or is slow",
        is_late=True,
    ),
    _Sign("^Expected (?!SETTINGS)", "what the proxy at {where} answers is not HTTP", _OTHER_PROXY),
    _Sign(
        _HANG_UP,
        "the connection is closed, by the proxy at {where} or behind it",
        "check broker.proxy; see that proxy's log",
    ),
)

_REFUSED = "(?:Failed to connect to remote host|connect failed|connect: )"

# What the system says of a connection that it does not make, and what to do.
_REFUSALS = {
    "Invalid argument": (
        "check broker.address: a link-local address needs its interface, such as [fe80::1%eth0]"
    ),
    "(?:Network|Host) is (?:unreachable|down)|No route to host": (
        "check that the machine is on, and that this device's network leads there: 'ip route'"
    ),
    "Permission denied|Operation not permitted": "check the firewall of this device: it forbids it",
    ".*?": "start it there with 'broker run', or set broker.address",
}

# At an address, whether it is the broker's or the proxy's: stage CONNECT.
_CONNECTING: _Signs = (
    _Sign(
        f"^(?!.*{_MUTE}).*(?:{_TOO_LATE})",
        "it cannot be reached at {where}: no answer within {within} s",
        "check that the machine is on and in this network, and that no firewall drops the port",
        is_late=True,
    ),
    *(
        _Sign(
            rf"{_REFUSED}(?:.*: )?(?P<error>{error})(?: \([0-9]+\))?$",
            "it cannot be reached at {where}: {error}",
            remedy,
        )
        for error, remedy in _REFUSALS.items()
    ),
)

# On a connection, before HTTP/2 had begun: stage HTTP2.
_BEFORE_HTTP2: _Signs = (
    _Sign(
        r"http1\.x server \(HTTP status (?P<status>[0-9]+)\)",
        "it answers by HTTP/1 (status {status}), not HTTP/2: a web server or a proxy listens there",
        _BETWEEN,
    ),
    _Sign(
        r"http1\.x server",
        "it answers by HTTP/1, not HTTP/2: a web server or a proxy listens there",
        _BETWEEN,
    ),
    _Sign(
        "Failed parsing HTTP/2|Expected SETTINGS frame",
        "what it answers is not HTTP/2",
        _OTHER_PROGRAM,
    ),
)
_MUTE_BY_TLS: _Signs = (
    _Sign(
        _MUTE,
        "it finishes the TLS handshake, and then sends no HTTP/2 within {within} s",
        _OTHER_OR_HUNG,
        is_late=True,
    ),
)
_IN_THE_CLEAR: _Signs = (
    _Sign(
        _MUTE,
        "it accepts the connection, and then sends no HTTP/2 within {within} s",
        _OTHER_OR_HUNG,
        is_late=True,
    ),
    _Sign(
        _CLOSED,
        "it closes the connection before HTTP/2 begins: it may require TLS",
        f"{_OTHER_PROGRAM}, or it requires [tls] here",
    ),
)

# In a handshake that nobody ended in words: stage TLS.
_IN_HANDSHAKE: _Signs = (
    _Sign(
        f"Handshake read failed.*(?:{_CLOSED})",
        "it closes the connection in the TLS handshake",
        "check that the broker runs, and what stands in between: a proxy, a firewall",
    ),
    _Sign(
        "Handshake read failed",
        "it accepts the connection, and does not finish TLS within {within} s",
        _OTHER_OR_HUNG,
        is_late=True,
    ),
)

# Of a call on a connection that had HTTP/2.
_WRAPPED = "Stream removed|RST_STREAM|Transport closed|Delayed close due to in-progress write"
_CALL = rf"^(?:(?:{_WRAPPED}) \()*"
_ENDED_CALL: _Signs = (  # stage SERVICE
    _Sign(
        "Data frame with END_STREAM|Stream removed$|^No status received$"
        f"|{_CALL}Error parsing 'grpc-status'",
        "the call ended without a status of gRPC, which no broker does",
        _BETWEEN,
    ),
    _Sign(
        f"{_CALL}Received http2 header with status: (?P<status>[0-9]+)",
        "HTTP status {status}, which no broker sends: a proxy or another server answers",
        _BETWEEN,
    ),
    _Sign(
        f"{_CALL}Received RST_STREAM with error code (?P<error>[0-9]+)",
        "the call was reset, by the broker or on the way (HTTP/2 error {error})",
        _BETWEEN,
    ),
)
_ENDED_CONNECTION: _Signs = (  # stage HTTP2
    _Sign(
        rf"{_CALL}GOAWAY received; Error code: (?P<error>[0-9]+); Debug Text: (?P<said>[^)]+)",
        "the connection was closed (GOAWAY, error {error}: {said})",
        _SEE_LOG,
    ),
    _Sign(
        f"{_CALL}GOAWAY received; Error code: (?P<error>[0-9]+); Debug Text: ",
        "the connection was closed (GOAWAY, error {error})",
        _SEE_LOG,
    ),
    _Sign(f"{_CALL}Failed parsing HTTP/2", "what it sends is not HTTP/2", _BETWEEN),
    _Sign(
        f"{_CALL}(?:{_CLOSED}|recvmsg:|sendmsg:)",
        "the connection was closed",
        _SEE_LOG,
    ),
)

# How gRPC's reason begins where no connection came about.
_NEVER_CONNECTED = re.compile(r"failed to connect to all addresses; last error: \w+: (\S+?): (.*)")


def reason_of(
    details: str, credentials: Credentials, patience_s: float, *, by_proxy: bool
) -> Reason | None:
    """What gRPC says of a call, where that is not the broker's own word; None where it may be.

    The patience is that of the way.
    """
    found = _NEVER_CONNECTED.match(details)
    if not found:
        return _first(((Stage.SERVICE, _ENDED_CALL), (Stage.HTTP2, _ENDED_CONNECTION)), details)
    where, said = _host_and_port(found[1]), found[2]
    words = {"where": where, "within": f"{patience_s:g}"}
    if by_proxy and (reason := _proxys(said, words)):
        return reason
    reason = (
        _first(_BY_TLS if credentials.is_tls else _BY_TCP, said, words)
        or credentials.reason_of(said)
        or Reason(Stage.CONNECT, shown(said), "check broker.address, and this network")
    )
    if by_proxy:
        return replace(reason, remedy=f"{reason.remedy}; or the proxy answers in its place")
    return reason


def server_of(headers: Iterable[tuple[str, str | bytes]]) -> str:
    """What names itself in a call's headers: no broker does, proxies do."""
    return next((str(value) for key, value in headers if key == "server"), "")


def word(code: str, details: str, server: str) -> str:
    """A status that came by gRPC, and what says on the way that it passed it on or made it."""
    passed_by = f" (by way of {shown(server)})" if server else ""
    return f"{code}: {shown(details)}{passed_by}"


_Table = Sequence[tuple[Stage, _Signs]]

_BY_TCP: _Table = (
    (Stage.CONNECT, _CONNECTING),
    (Stage.HTTP2, _BEFORE_HTTP2),
    (Stage.HTTP2, _IN_THE_CLEAR),
)
_BY_TLS: _Table = (
    (Stage.CONNECT, _CONNECTING),
    (Stage.HTTP2, _MUTE_BY_TLS),
    (Stage.HTTP2, _BEFORE_HTTP2),
    (Stage.TLS, _IN_HANDSHAKE),
)


def _proxys(said: str, words: dict[str, str]) -> Reason | None:
    """What is the proxy's doing: its answer, or that it is not reached."""
    if reason := _first(((Stage.CONNECT, _AT_PROXY),), said, words):
        return reason
    if reason := _first(((Stage.CONNECT, _CONNECTING),), said, words):
        remedy = f"{_PROXY} that the proxy runs"
        return replace(reason, text=f"proxy: {reason.text}", remedy=remedy)
    return None


def _first(table: _Table, said: str, words: dict[str, str] | None = None) -> Reason | None:
    """The first sign of a table that fits."""
    for stage, signs in table:
        for sign in signs:
            if found := re.search(sign.pattern, said):
                seen = {key: shown(group) for key, group in found.groupdict().items()}
                text = sign.text.format_map({**(words or {}), **seen})
                return Reason(stage, text, sign.remedy, sign.is_late)
    return None


def _host_and_port(where: str) -> str:
    """gRPC's `ipv4:127.0.0.1:1`, `ipv6:%5B::1%5D:1` as HOST:PORT."""
    return shown(unquote(where.partition(":")[2]))
