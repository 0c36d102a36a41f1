"""The broker's certificate, and whose certificates it accepts; read again when the files change."""

import logging
import time

from broker.config import TlsSettings
from quartet.certificates import Certificate, remind, unfit_for_agents, unfit_for_brokers
from quartet.clock import Clock, utc
from quartet.pem import (
    Authorities,
    Identity,
    Revoked,
    is_readable_by_all,
    read_authorities,
    read_identity,
    read_revoked,
)
from quartet.plural import counted
from quartet.settings import secret
from quartet.watched import Watched

log = logging.getLogger(__name__)


class Credentials:
    """What a transport serves with. Its streams stay when they change. Loop only, but to read."""

    def __init__(self, tls: TlsSettings, clock: Clock = time) -> None:
        """Reads all files; SettingsError for one that cannot be used."""
        key = secret(tls.key)
        self._clock = clock
        self._identity = Watched(
            (tls.certificate, key), lambda: read_identity(tls.certificate, key)
        )
        self._authorities = _watch_authorities(tls.client_ca)
        self._revoked = _watch_revoked(tls.crl, tls.client_ca)
        self.version = 0
        """Another number whenever identity or authorities have changed. Any thread may read it."""
        if is_readable_by_all(key):
            log.warning(
                "tls.key: everybody on this machine can read %s: run 'chmod 600' on it", key
            )

    @property
    def identity(self) -> Identity:
        """The broker's certificate, with its chain and key. Any thread."""
        return self._identity.value

    @property
    def authorities(self) -> Authorities | None:
        """Who must have signed an agent's certificate; None: agents need none. Any thread."""
        return self._authorities.value if self._authorities else None

    def refresh(self) -> None:
        """Take what has changed on disk."""
        renewed = self._identity.refresh()
        if self._authorities and self._authorities.refresh():
            renewed = True
        if renewed:
            self.version += 1
            log.info("certificates reloaded, for new connections")
            self.remind()
        if self._revoked and self._revoked.refresh():
            revoked = counted(len(self._revoked.value), "revoked certificate")
            log.info("tls.crl reloaded: %s", revoked)

    def remind(self) -> None:
        """Log what is not valid, or soon will not be, or is not for a broker."""
        now, own = utc(self._clock), self.identity.certificate
        remind("tls.certificate", [own], now)
        if reason := unfit_for_brokers(own):
            log.error("tls.certificate (%s): %s; no agent accepts it", own, reason)
        if self.authorities:
            remind("tls.client_ca", self.authorities.certificates, now)

    def objection(self, certificate: Certificate) -> str:
        """Why nobody may stream by a certificate that was good at its handshake; empty if one may.

        The usage decides, and nobody is an agent with the broker's own key, which may ask the
        broker how it is.
        """
        if self._revoked and (certificate.issuer, certificate.serial) in self._revoked.value:
            return f"the certificate of {certificate} is revoked"
        if certificate.not_after < utc(self._clock):
            return f"the certificate of {certificate} has expired"
        if reason := unfit_for_agents(certificate):
            return f"the certificate of {certificate} is {reason}"
        if certificate.key and certificate.key == self.identity.certificate.key:
            return (
                f"the certificate of {certificate} is the broker's own: 'broker pki issue AGENT'"
                " makes one for an agent"
            )
        return ""


def _watch_authorities(path: str | None) -> Watched[Authorities] | None:
    if path is None:
        return None
    return Watched((path,), lambda: read_authorities("tls.client_ca", path))


def _watch_revoked(path: str | None, authorities: str | None) -> Watched[Revoked] | None:
    if path is None or authorities is None:
        return None
    return Watched(
        (path, authorities),
        lambda: read_revoked(path, read_authorities("tls.client_ca", authorities).pem),
    )
