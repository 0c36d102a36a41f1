"""TLS by files that may change while the agent runs."""

import logging
import time

import grpc

from agent.config import TlsSettings
from agent.credentials import Options
from quartet.certificates import NOT_FOR_SERVERS, invalid, remind, unfit_for_agents
from quartet.clock import Clock, utc
from quartet.pem import Authorities, Identity, is_readable_by_all, read_authorities, read_identity
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
            (ca,), lambda: read_authorities("tls.ca", ca), clock
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

    def meaning_of(self, details: str) -> str:
        """By what this device knows of itself, and by what OpenSSL and gRPC say."""
        if problem := self._own_problem() or self._authorities_problem(details):
            return problem
        now = f"{utc(self._clock):%Y-%m-%d %H:%M} UTC"
        return next((text.format(now=now) for mark, text in _MEANS.items() if mark in details), "")

    def remind(self) -> None:
        """Log what is not valid, or soon will not be."""
        now = utc(self._clock)
        remind("tls.ca", self._authorities.value.certificates, now)
        if self._identity:
            own = self._identity.value.certificate
            remind("tls.certificate", [own], now)
            if reason := unfit_for_agents(own):
                log.error("tls.certificate (%s): %s; no broker accepts it", own, reason)

    def _own_problem(self) -> str:
        if self._identity is None:
            return ""
        own = self._identity.value.certificate
        problem = invalid(own, utc(self._clock)) or unfit_for_agents(own)
        return problem and f"this device's certificate: {problem}"

    def _authorities_problem(self, details: str) -> str:
        """What is wrong with tls.ca, where a certificate's time is: it need not be the broker's."""
        if not any(mark in details for mark in (_NOT_YET_VALID, _EXPIRED)):
            return ""
        now = utc(self._clock)
        problems = [invalid(each, now) for each in self._authorities.value.certificates]
        return f"tls.ca: {problems[0]}" if all(problems) else ""


_OTHER_NAMES = "its certificate is for other names: set broker.address to one of them"

_NOT_YET_VALID = "certificate is not yet valid"
_EXPIRED = "certificate has expired"

# By what OpenSSL and gRPC say; the most special first.
_MEANS = {
    _NOT_YET_VALID: (
        "by this clock ({now}) the broker's certificate is not valid yet: if the clock is wrong,"
        " see 'timedatectl'"
    ),
    _EXPIRED: "by this clock ({now}) the broker's certificate has expired",
    "unsupported certificate purpose": f"its certificate is {NOT_FOR_SERVERS}",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not signed by an authority in tls.ca",
    "Hostname Verification": _OTHER_NAMES,
    "not in peer certificate": _OTHER_NAMES,  # grpc 1.72
    "WRONG_VERSION_NUMBER": "it does not use TLS",
    "Socket closed": (
        "it ends the handshake: it may refuse this device's certificate, or require one;"
        " 'agent check' says more"
    ),
}
