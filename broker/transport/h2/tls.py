"""TLS of the connections that come in, and why a handshake failed."""

import logging
import os
import ssl
from typing import TYPE_CHECKING

from quartet.foreign import shown

if TYPE_CHECKING:
    from broker.credentials import Credentials

# What OpenSSL calls it, and what it means here.
_MEANINGS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it shows no certificate, and this broker requires one",
    "HTTP_REQUEST": "it speaks HTTP without TLS",
    "WRONG_VERSION_NUMBER": "it does not speak TLS: tls is missing in its settings, or must be",
    "UNSUPPORTED_PROTOCOL": "it speaks no TLS that is as new as 1.2",
    "NO_SHARED_CIPHER": "it and the broker have no cipher in common",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not trust the authority of this broker's certificate",
    "TLSV1_ALERT_DECRYPT_ERROR": "it does not accept this broker's certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not accept this broker's certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not accept this broker's certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "by its clock this broker's certificate has expired",
}

_CLOSED = "it closed the connection"


class Contexts:
    """The context of the next connection, by what the credentials are then. Loop only."""

    def __init__(self, credentials: "Credentials") -> None:
        self._credentials = credentials
        self._version = credentials.version
        self._context = self._made()

    @property
    def current(self) -> ssl.SSLContext:
        """One of its own whenever the certificates have changed."""
        if self._version != (version := self._credentials.version):
            self._context, self._version = self._made(), version
        return self._context

    def _made(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        # Who comes again is judged again, by the certificates of then.
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
        context.num_tickets = 0
        own = self._credentials.identity
        _load(context, own.chain_pem + b"\n" + own.key_pem)
        if authorities := self._credentials.authorities:
            context.load_verify_locations(cadata=authorities.pem.decode("ascii", "replace"))
            # An authority in the file is trusted, also where another one has signed it.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """Have a context take a certificate and its key; it reads files only, so one in memory."""
    descriptor = os.memfd_create("certificate")
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def failure(error: OSError) -> tuple[int, str]:
    """What to log of a handshake that failed, and at which level."""
    why = reason(error)
    # A probe of a port does no more than that.
    return logging.INFO if why == _CLOSED else logging.WARNING, f"TLS failed: {why}"


def reason(error: OSError) -> str:
    """Why a handshake failed, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {shown(error.verify_message)}"
    if isinstance(error, ssl.SSLEOFError):
        return _CLOSED
    if isinstance(error, ssl.SSLError):
        code = error.reason or ""
        return _MEANINGS.get(code, shown(code.lower().replace("_", " ") or str(error)))
    if isinstance(error, ConnectionAbortedError):
        return "it did not end the handshake in time"
    return _CLOSED
