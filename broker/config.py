"""The broker's settings: broker.toml, and what the command line puts over it."""

import msgspec

from quartet.address import Address
from quartet.errors import SettingsError
from quartet.settings import LogSettings, Table


class ListenSettings(Table, frozen=True):
    """`[listen]`: where agents connect. Port 0 takes any free port."""

    address: str = "127.0.0.1:8061"
    insecure: bool = False
    """Listen beyond this machine without TLS."""

    def __post_init__(self) -> None:
        Address.parse(self.address, "address")


class PredictorSettings(Table, frozen=True):
    """`[predictor]`: the black box, and the keyword arguments that it is made with."""

    use: str = "limits"
    options: dict[str, object] = msgspec.field(default_factory=dict)


class Settings(Table, frozen=True):
    """broker.toml as a whole."""

    listen: ListenSettings = ListenSettings()
    predictor: PredictorSettings = msgspec.field(default_factory=PredictorSettings)
    log: LogSettings = LogSettings()


def check(settings: Settings) -> None:
    """Raise SettingsError for what only the command line and the file together can get wrong."""
    address = Address.parse(settings.listen.address, "listen.address")
    if not address.is_loopback and not settings.listen.insecure:
        raise SettingsError(
            f"listen.address: {address} is open to other machines, and there is no TLS: anyone"
            " there could stream; give --insecure if that is what you want"
        )
