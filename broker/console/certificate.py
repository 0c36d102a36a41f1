"""The console's certificate; read again when its files change."""

import logging
import ssl
import time
from datetime import datetime

from broker.console.config import PageTlsSettings
from quartet.certificates import remind, unfit_for_brokers
from quartet.clock import Clock, utc
from quartet.errors import SettingsError
from quartet.pem import is_readable_by_all, read_identity
from quartet.settings import secret
from quartet.watched import Watched

log = logging.getLogger(__name__)


class ServedCertificate:
    """What browsers see. Loop only."""

    def __init__(self, tls: PageTlsSettings, clock: Clock = time) -> None:
        """Reads both files; SettingsError for one that cannot be used."""
        self._path, self._key = tls.certificate, secret(tls.key)
        self._clock = clock
        self._identity = Watched(
            (self._path, self._key), lambda: read_identity(self._path, self._key)
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        """For all connections. A new certificate counts for new ones."""
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load()
        if is_readable_by_all(self._key):
            log.warning(
                "tls.key: everybody on this machine can read %s: run 'chmod 600' on it", self._key
            )

    @property
    def expiry(self) -> datetime:
        """When it expires."""
        return self._identity.value.certificate.not_after

    def refresh(self) -> None:
        """Take what has changed on disk."""
        if self._identity.refresh():
            self._load()
            log.info("certificate reloaded, for new connections")
            self.remind()

    def remind(self) -> None:
        """Log that it is not valid, or soon will not be, or is not for a server."""
        own = self._identity.value.certificate
        remind("tls.certificate", [own], utc(self._clock))
        if reason := unfit_for_brokers(own):
            log.error("tls.certificate (%s): %s; no browser accepts it", own, reason)

    def _load(self) -> None:
        try:
            self.context.load_cert_chain(self._path, self._key)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"tls.certificate: {self._path}: {error}") from error
