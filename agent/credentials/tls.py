"""TLS by files that may change while the agent runs."""

import logging
import re
import time
from datetime import datetime

import grpc

from agent.config import TlsSettings
from agent.credentials import Options
from agent.reason import CLOSED, Reason, Stage
from quartet.certificates import NOT_FOR_SERVERS, invalid, remind, unfit_for_agents
from quartet.clock import Clock, utc
from quartet.foreign import shown
from quartet.pem import (
    Authorities,
    Identity,
    is_readable_by_all,
    read_identity,
    read_trusted,
    trusted_file,
)
from quartet.settings import secret
from quartet.watched import Watched

log = logging.getLogger(__name__)

# How often the files are looked at, while a stream is well.
_LOOK_S = 5.0


class Tls:
    """TLS 1.2 or newer; mutual, where this device has a certificate."""

    def __init__(self, settings: TlsSettings, clock: Clock = time) -> None:
        self._clock = clock
        ca, certificate = settings.ca, settings.certificate
        key = settings.key and secret(settings.key)
        self._authorities: Watched[Authorities] = Watched(
            (trusted_file(ca),), lambda: read_trusted(ca), clock
        )
        self._identity: Watched[Identity] | None = None
        if certificate is not None and key is not None:
            self._identity = Watched(
                (certificate, key), lambda: read_identity(certificate, key), clock
            )
            if is_readable_by_all(key):
                log.warning(
                    "tls.key: everybody on this machine can read %s: run 'chmod 600' on it", key
                )
        self._stale = False
        self._look_at_s = 0.0

    def open_channel(self, target: str, options: Options) -> grpc.aio.Channel:
        """Open one with the files as they are now."""
        self.refresh()
        self._stale = False
        return self.open_beside(target, options)

    def open_beside(self, target: str, options: Options) -> grpc.aio.Channel:
        """Open one with the files as they were read last."""
        identity = self._identity.value if self._identity else None
        credentials = grpc.ssl_channel_credentials(
            self._authorities.value.pem,
            identity.key_pem if identity else None,
            identity.chain_pem if identity else None,
        )
        return grpc.aio.secure_channel(target, credentials, options)

    def is_stale(self) -> bool:
        """Look at the files, now and then."""
        now_s = self._clock.monotonic()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + _LOOK_S
            self.refresh()
        return self._stale

    def refresh(self) -> None:
        """Take what has changed, for the next channel."""
        renewed = self._authorities.refresh()
        if self._identity and self._identity.refresh():
            renewed = True
        if renewed:
            log.info("certificates reloaded")
            self._stale = True
            self.remind()

    @property
    def is_tls(self) -> bool:
        """There is TLS."""
        return True

    @property
    def expiry(self) -> datetime | None:
        """Of the certificate that was read last."""
        return self._identity.value.certificate.not_after if self._identity else None

    def reason_of(self, details: str) -> Reason | None:
        """By what OpenSSL and gRPC say, and by what this device knows of itself."""
        if found := _UNVERIFIED.search(details):
            return _tls(*self._unverified(found[1]))
        if found := _ALERT.search(details):
            return self._alerted(found[1])
        if known := next((each for mark, each in _MEANS.items() if mark in details), None):
            return _tls(*known)
        if what := next((each for mark, each in _ENDS.items() if mark in details), None):
            return self._refused(what)
        found = _ERROR.search(details)
        return _tls(f"the TLS handshake fails: {_lower(found[1])}", _OTHER_TLS) if found else None

    def remind(self) -> None:
        """Log what is not valid, or soon will not be."""
        now = utc(self._clock)
        remind("tls.ca", self._authorities.value.certificates, now)
        if self._identity:
            own = self._identity.value.certificate
            remind("tls.certificate", [own], now)
            if reason := unfit_for_agents(own):
                log.error("tls.certificate (%s): %s; no broker accepts it", own, reason)

    def _unverified(self, said: str) -> tuple[str, str]:
        """Which check of the broker's certificate failed, and what to do."""
        now = utc(self._clock)
        if _TOO_EARLY in said or _EXPIRED in said:
            problems = [invalid(each, now) for each in self._authorities.value.certificates]
            if problems and all(problems):
                return f"tls.ca: {problems[0]}", "copy the new ca.pem to this device"
            by_clock = f"by this clock ({now:%Y-%m-%d %H:%M} UTC) the broker's certificate"
            or_authority = ", or an authority in tls.ca," if any(problems) else ""
            if _TOO_EARLY in said:
                text = f"{by_clock}{or_authority} is not valid yet: if the clock is wrong"
                return f"{text}, see 'timedatectl'", _SET_CLOCK
            text = f"{by_clock}{or_authority} has expired"
            return text, "broker pki renew --broker, on the broker's side"
        if "purpose" in said:
            return f"its certificate is {NOT_FOR_SERVERS}", f"{_ISSUE}, on the broker's side"
        if _NO_ISSUER.search(said):
            text = f"its certificate is not signed by an authority in tls.ca ({shown(said)})"
            return text, "copy the ca.pem of the authority that signed it to this device"
        return f"its certificate is not accepted: {shown(said)}", f"{_ISSUE}, on the broker's side"

    def _alerted(self, alert: str) -> Reason:
        """By the name that BoringSSL has for it."""
        what = f"it ends the TLS handshake with the alert {_lower(alert)}"
        if alert not in _NOT_OF_CERTIFICATES:
            return self._refused(what)
        meaning, remedy = _NOT_OF_CERTIFICATES[alert]
        return _tls(f"{what}{meaning}", remedy)

    def _refused(self, what: str) -> Reason:
        """The broker ends it, perhaps for what this device shows."""
        if self._identity is None:
            text = f"{what}: it may require a certificate of this device"
            return _tls(text, "set tls.certificate and tls.key: see 'broker pki issue'")
        own = self._identity.value.certificate
        now = utc(self._clock)
        if problem := invalid(own, now):
            name = shown(next(iter(own.names), "AGENT"))
            remedy = (
                _SET_CLOCK
                if now < own.not_before
                else f"broker pki renew {name}, where the authority is"
            )
            return _tls(f"{what}: this device's certificate: {problem}", remedy)
        if problem := unfit_for_agents(own):
            text = f"{what}: this device's certificate: {problem}"
        else:
            text = f"{what}: it may refuse this device's certificate"
        return _tls(
            text, "install a certificate that its client_ca has signed: see 'broker pki issue'"
        )


# What OpenSSL says of a certificate. Newer versions of gRPC say more behind it.
_UNVERIFIED = re.compile("CERTIFICATE_VERIFY_FAILED: ([^:]*)")
_ALERT = re.compile("(?:SSLV3|TLSV1|TLSV13)_ALERT_([A-Z0-9_]+)")

_ERROR = re.compile("OPENSSL_internal:([^:]+)")

_ENDS = {
    **dict.fromkeys(CLOSED, "it closes the connection in the TLS handshake or right after it"),
    # An alert by which TLS 1.3 refuses a certificate behind the handshake.
    "Unwrap failed": "it ends TLS right after the handshake, with an alert",
}

_TOO_EARLY = "not yet valid"
_EXPIRED = "has expired"
_NO_ISSUER = re.compile("issuer certificate|self.signed certificate|first certificate")

_SET_CLOCK = "sudo timedatectl set-ntp true, on the machine with the wrong clock"
_ISSUE = "broker pki issue --host HOST"

_OTHER_NAMES = (
    "its certificate is for other names than that in broker.address",
    f"set broker.address to a name in it, or '{_ISSUE}' there",
)

_OTHER_TLS = "check broker.address; see the log of the broker, or of the proxy that ends TLS"
_NO_HTTP2 = (
    "it uses TLS, but not with HTTP/2 (ALPN): a web server or a proxy listens there",
    "check broker.address, or turn HTTP/2 on in the proxy that ends TLS",
)
_OLD_TLS = (
    ": it takes no TLS version or cipher of this device, which uses TLS 1.2 and newer",
    "allow TLS 1.2 or newer in the program that ends TLS there",
)

# Alerts that say nothing of this device's certificate: what follows from each, and what to do.
_NOT_OF_CERTIFICATES = {
    "PROTOCOL_VERSION": _OLD_TLS,
    "INSUFFICIENT_SECURITY": _OLD_TLS,
    "NO_APPLICATION_PROTOCOL": (": it uses TLS, but not with HTTP/2 (ALPN)", _NO_HTTP2[1]),
    "UNRECOGNIZED_NAME": (
        ": it does not know the name in broker.address",
        "check broker.address, and the server names of the proxy that ends TLS",
    ),
    **dict.fromkeys(
        (
            *("CLOSE_NOTIFY", "UNEXPECTED_MESSAGE", "BAD_RECORD_MAC", "DECODE_ERROR"),
            *("INTERNAL_ERROR", "INAPPROPRIATE_FALLBACK", "USER_CANCELLED", "ILLEGAL_PARAMETER"),
        ),
        ("", _OTHER_TLS),
    ),
}

_MEANS = {
    "Hostname Verification": _OTHER_NAMES,
    "not in peer certificate": _OTHER_NAMES,  # grpc 1.72
    "WRONG_VERSION_NUMBER": (
        "it does not use TLS: what it answers is something else",
        "check broker.address: another program may listen there; or configure [tls] on the broker",
    ),
    "ALPN": _NO_HTTP2,
}


def _tls(text: str, remedy: str) -> Reason:
    return Reason(Stage.TLS, text, remedy)


def _lower(alert: str) -> str:
    return f"'{alert.lower().replace('_', ' ')}'"
