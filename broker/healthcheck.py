"""Whether a broker serves: `python3 -m broker.healthcheck [HOST:PORT]` exits 0 if so, else 1.

Without an address it asks at the configured one, on this machine.
"""

import argparse
import socket
import ssl
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

from broker.config import Settings, TlsSettings
from quartet.address import Address, Place, place
from quartet.errors import SettingsError
from quartet.foreign import shown
from quartet.settings import load
from wire import HEALTH_METHOD_PATH, HEALTH_SERVICE
from wire.standard import decoded, message

# A broker that listens on all addresses of the machine is asked on its loopback.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing listens there

# A broker that works answers in milliseconds; the image's HEALTHCHECK allows 5 s with the start.
_DEADLINE_S = 2.0

# Of a gRPC message: the flag, and the length of an empty question.
_QUESTION = bytes(5)
_HEAD_BYTES = 5


def problem(address: Place, tls: TlsSettings | None = None) -> str:
    """Why the broker there is not serving, in one line; empty if it is. Blocks for at most 2 s.

    SettingsError for files of `tls` that cannot be used.
    """
    hint = "" if tls else "; use --config if it has TLS"
    try:
        with _connected(address, tls) as connected:
            status = _Question(connected, _authority(address), is_secured=tls is not None).status()
    except ssl.SSLError as error:
        return f"{address}: no TLS with it: {shown(error.reason or error)}{hint}"
    except (ConnectionRefusedError, FileNotFoundError):
        return f"{address}: no broker listens there"
    except OSError as error:
        return f"{address}: {shown(error.strerror or error)}{hint}"
    except (ProtocolError, ValueError) as error:
        return f"{address}: {shown(error)}{hint}"
    return "" if status == "SERVING" else f"{address}: {status}"


class _Question:
    """A call of Check on a connection of its own."""

    def __init__(self, connected: socket.socket, authority: str, *, is_secured: bool) -> None:
        self._until_s = time.monotonic() + _DEADLINE_S
        self._socket = connected
        self._headers: dict[bytes, bytes] = {}
        self._answer = b""
        self._is_over = False
        self._h2 = H2Connection(H2Configuration(client_side=True))
        self._h2.initiate_connection()
        headers = [
            (":method", "POST"),
            (":scheme", "https" if is_secured else "http"),
            (":path", HEALTH_METHOD_PATH),
            (":authority", authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
        self._h2.send_headers(1, headers)
        self._h2.send_data(1, _QUESTION, end_stream=True)

    def status(self) -> str:
        """What is answered. OSError, ProtocolError or ValueError where that is nothing."""
        while not self._is_over:
            self._socket.settimeout(max(0.001, self._until_s - time.monotonic()))
            self._socket.sendall(self._h2.data_to_send())
            if not (data := self._socket.recv(65_536)):
                raise ConnectionError("it closes the connection")
            for event in self._h2.receive_data(data):
                self._note(event)
        if self._headers.get(b"grpc-status") != b"0":
            reason = self._headers.get(b"grpc-message", b"it does not speak gRPC")
            raise ValueError(unquote(reason.decode("ascii", "replace")))
        response = decoded(message(f"{HEALTH_SERVICE}CheckResponse"), self._answer[_HEAD_BYTES:])
        return str(response.ServingStatus.Name(response.status))

    def _note(self, event: Event) -> None:
        match event:
            case ResponseReceived() | TrailersReceived():
                self._headers |= dict(event.headers)
            case DataReceived():
                self._answer += event.data
            case StreamEnded():
                self._is_over = True
            case StreamReset() | ConnectionTerminated():
                if not self._is_over:
                    raise ConnectionError("it ends the call")


def _authority(address: Place) -> str:
    return str(address) if isinstance(address, Address) else "localhost"


def _connected(address: Place, tls: TlsSettings | None) -> socket.socket:
    """With TLS, by the broker's own certificate, whatever name it is for."""
    context = _context(tls) if tls else None
    with ExitStack() as opened:
        if isinstance(address, Address):
            target = address.host, address.port
            plain = opened.enter_context(socket.create_connection(target, _DEADLINE_S))
        else:
            plain = opened.enter_context(socket.socket(socket.AF_UNIX))
            plain.settimeout(_DEADLINE_S)
            plain.connect(address.path)
        connected = context.wrap_socket(plain) if context else plain
        opened.pop_all()
    return connected


def _context(tls: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        for trusted in filter(None, (tls.certificate, tls.client_ca)):
            context.load_verify_locations(trusted)
    except OSError as error:
        raise SettingsError(f"tls: its files cannot be used: {shown(error)}") from error
    return context


def configured(settings: Settings) -> Place:
    """Where the broker with these settings can be asked on its own machine. SettingsError."""
    address = settings.listen.place
    if not isinstance(address, Address):
        return address
    return replace(address, host=_LOOPBACK.get(address.host, address.host))


def main() -> None:
    """Exit 0, or 1 with the reason on stderr; wrong use is 1 too, for Docker reserves 2."""
    parser = argparse.ArgumentParser(prog="python3 -m broker.healthcheck", allow_abbrev=False)
    parser.add_argument("address", nargs="?", metavar="HOST:PORT", help="default: as configured")
    parser.add_argument("--config", type=Path, metavar="TOML", help="the broker's: address and TLS")
    try:
        options = parser.parse_args()
    except SystemExit as exit_:
        sys.exit(1 if exit_.code else 0)
    try:
        settings = load(options.config, Settings) if options.config else Settings()
        given = options.address
        address = place(given, "healthcheck") if given else configured(settings)
        sys.exit(problem(address, settings.tls) or 0)
    except SettingsError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
