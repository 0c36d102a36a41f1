"""The broker's certificate, and whose certificates it accepts; taken anew when the files change."""

import logging
from collections import deque
from datetime import UTC, datetime

import grpc

from broker.config import TlsSettings
from quartet.certificates import Certificate, remind
from quartet.pem import (
    Authorities,
    Revoked,
    is_readable_by_all,
    read_authorities,
    read_identity,
    read_revoked,
)
from quartet.settings import secret
from quartet.watched import Watched

log = logging.getLogger(__name__)


class Credentials:
    """For a server, which keeps its streams when they change. Loop only, but for gRPC's fetch."""

    def __init__(self, tls: TlsSettings) -> None:
        """Reads all files; SettingsError for one that cannot be used."""
        key = secret(tls.key)
        self._identity = Watched(
            (tls.certificate, key), lambda: read_identity(tls.certificate, key)
        )
        self._authorities = _watch_authorities(tls.client_ca)
        self._revoked = _watch_revoked(tls.crl, tls.client_ca)
        self._fresh: deque[grpc.ServerCertificateConfiguration] = deque(maxlen=1)
        if is_readable_by_all(key):
            log.warning("tls.key: %s may be read by anyone here: chmod 600 it", key)

    def for_server(self) -> grpc.ServerCredentials:
        """What a gRPC server is given; its fetch comes with each connection, on gRPC's threads."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            self._fetch,  # type: ignore[arg-type] # None is documented, and not in the stubs
            self._authorities is not None,
        )

    def refresh(self) -> None:
        """Take what has changed on disk."""
        renewed = self._identity.refresh()
        if self._authorities and self._authorities.refresh():
            renewed = True
        if renewed:
            self._fresh.append(self._configuration())
            log.info("certificates: taken anew, for connections from now on")
            self.remind()
        if self._revoked and self._revoked.refresh():
            log.info("tls.crl: taken anew: %d revoked", len(self._revoked.value))

    def remind(self) -> None:
        """Log what is not valid, or soon will not be."""
        now = datetime.now(UTC)
        remind("tls.certificate", [self._identity.value.certificate], now)
        if self._authorities:
            remind("tls.client_ca", self._authorities.value.certificates, now)

    def objection(self, certificate: Certificate) -> str:
        """Why a peer's certificate, which was good once, is not any more; empty if it is."""
        if self._revoked and (certificate.issuer, certificate.serial) in self._revoked.value:
            return f"the certificate of {certificate} is revoked"
        if certificate.not_after < datetime.now(UTC):
            return f"the certificate of {certificate} has expired"
        return ""

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        of = self._identity.value
        authorities = self._authorities.value.pem if self._authorities else None
        return grpc.ssl_server_certificate_configuration([(of.key_pem, of.chain_pem)], authorities)

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """What has changed since the last time; None is nothing."""
        try:
            return self._fresh.pop()
        except IndexError:
            return None


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
