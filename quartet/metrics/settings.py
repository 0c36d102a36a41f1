"""`[metrics]`, which agent, broker and console have in common."""

from typing import Annotated

import msgspec

from quartet.address import Address
from quartet.settings import Table


class MetricsSettings(Table, frozen=True):
    """`[metrics]`: figures for Prometheus on /metrics, and answers on /healthz and /readyz."""

    listen: Annotated[str, msgspec.Meta(examples=["127.0.0.1:9461"])] | None = None
    """Host and port to listen on, as HOST:PORT or [IPV6]:PORT. Port 0 takes any free port. By
    default nothing listens, and nothing is measured."""
    insecure: bool = False
    """Let other machines connect, without TLS. Anyone there can read the figures and the names of
    agents."""

    def __post_init__(self) -> None:
        if self.listen is None:
            return
        address = Address.parse(self.listen, "listen")
        if not address.is_loopback and not self.insecure:
            raise ValueError(
                f"listen: {address} is open to other machines, and figures are sent unencrypted:"
                " choose 127.0.0.1 and a proxy with TLS, or allow it with insecure = true"
            )

    @property
    def address(self) -> Address | None:
        """Where to listen; None: nowhere."""
        return None if self.listen is None else Address.parse(self.listen, "metrics.listen")


def on_port(settings: MetricsSettings, number: int) -> MetricsSettings:
    """The settings of one of several processes on a machine, numbered from 1. SettingsError.

    Each listens on a port of its own.
    """
    address = settings.address
    if address is None or not address.port:
        return settings
    own = str(Address(address.host, address.port + number - 1))
    Address.parse(own, f"metrics.listen of process {number}")
    return msgspec.structs.replace(settings, listen=own)
