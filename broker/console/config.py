"""The console's settings: console.toml, and what the command line puts over it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from broker.config import PredictorSettings, Store
from broker.feed import place
from broker.feed.place import StoreSettings
from quartet.address import Address
from quartet.errors import SettingsError
from quartet.metrics.settings import MetricsSettings
from quartet.settings import LogSettings, Table

_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")

Hosts = Annotated[tuple[str, ...], msgspec.Meta(examples=[["console.plant.lan"]])]


class PageSettings(Table, frozen=True):
    """`[console]`: where browsers find the console, and what it keeps itself."""

    listen: str = "127.0.0.1:8080"
    """Host and port to listen on, as HOST:PORT or [IPV6]:PORT. Port 0 takes any free port."""
    hosts: Hosts = ()
    """Names and addresses by which browsers may reach the console. A name of this machine alone,
    such as localhost, is always right."""
    database: Annotated[str, msgspec.Meta(examples=["/var/lib/broker/console.db"])] | None = None
    """File for history, notes and users. By default console.db in the $STATE_DIRECTORY of the
    service; otherwise console.db beside the file of the store."""
    insecure: bool = False
    """Let other machines connect without [tls] or without users. Anyone there can read passwords,
    and do everything if there are no users."""

    def __post_init__(self) -> None:
        Address.parse(self.listen, "listen")
        for host in self.hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(
                    f"hosts: expected names or addresses without a port, such as"
                    f" console.plant.lan, got {host!r}"
                )


class PageTlsSettings(Table, frozen=True):
    """`[tls]`: encrypted pages. Other machines need them."""

    certificate: Annotated[str, msgspec.Meta(examples=["/etc/broker/console.pem"])]
    """File in PEM: the certificate of the console."""
    key: Annotated[str, msgspec.Meta(examples=["/etc/broker/console.key"])]
    """File in PEM: the private key of the certificate."""


class ConsoleSettings(Table, frozen=True):
    """console.toml as a whole."""

    console: PageSettings = PageSettings()
    store: StoreSettings = StoreSettings()
    predictor: PredictorSettings = msgspec.field(default_factory=PredictorSettings)
    tls: PageTlsSettings | None = None
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()

    @property
    def address(self) -> Address:
        """Where to listen."""
        return Address.parse(self.console.listen, "console.listen")


def with_store(settings: ConsoleSettings, store: str) -> ConsoleSettings:
    """The same with another store, a path or a URL. SettingsError."""
    return msgspec.structs.replace(settings, store=place.chosen(store))


def store_of(settings: ConsoleSettings, environment: Mapping[str, str]) -> Store | None:
    """Where the broker's store is; None: nobody has said it."""
    return place.store_of(settings.store, environment)


def database_path(
    settings: ConsoleSettings, store: Store | None, environment: Mapping[str, str]
) -> Path | None:
    """Where the console keeps history, notes and users; None: nobody has said it."""
    if settings.console.database:
        return Path(settings.console.database)
    return place.own_file("console.db", store, environment)


def check(settings: ConsoleSettings) -> None:
    """Raise SettingsError for what only the command line and the file together can get wrong."""
    place.check(settings.store)
    address = settings.address
    if address.port and address == settings.metrics.address:
        raise SettingsError("metrics.listen: is also console.listen: choose another port")
    if address.is_loopback:
        return
    if not settings.tls and not settings.console.insecure:
        raise SettingsError(
            f"console.listen: {address} is open to other machines, and there is no [tls]: anyone"
            " there could read passwords; 'broker pki init' makes certificates, --insecure works"
            " without"
        )
    if not settings.console.hosts and is_wildcard(address):
        raise SettingsError(
            f"console.listen: {address} is open to other machines, and console.hosts names none:"
            ' add the name that browsers use, for example hosts = ["console.plant.lan"]'
        )


def is_wildcard(address: Address) -> bool:
    """Whether it stands for all addresses of this machine."""
    return address.host in ("", "*", "::", "0", "0.0.0.0")  # noqa: S104 - compared only


def check_users(settings: ConsoleSettings, users: int) -> None:
    """Raise SettingsError where other machines could do everything without a user."""
    if not settings.address.is_loopback and not users and not settings.console.insecure:
        raise SettingsError(
            f"console.listen: {settings.address} is open to other machines, and there are no"
            " users: add one with 'broker console user add NAME', --insecure works without"
        )


def is_open_to_others(settings: ConsoleSettings) -> bool:
    """Whether people at other machines may come, so that users must sign in.

    Also on loopback where there are names for other machines: a proxy lets them in.
    """
    return not settings.address.is_loopback or bool(settings.console.hosts)
