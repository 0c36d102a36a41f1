"""The credentials that the settings ask for."""

import time

from agent.config import TlsSettings
from agent.credentials import Credentials, Plaintext
from quartet.clock import Clock
from quartet.distribution import to_install
from quartet.errors import SettingsError


def open_credentials(settings: TlsSettings | None, clock: Clock = time) -> Credentials:
    """Read the files, where there are any; SettingsError for one that cannot be used."""
    if settings is None:
        return Plaintext()
    try:
        from agent.credentials.tls import Tls  # noqa: PLC0415 - costs 20 MB, where there is TLS
    except ImportError as error:
        raise SettingsError(f"tls: {error.name} is missing: {to_install('tls')}") from error
    return Tls(settings, clock)
