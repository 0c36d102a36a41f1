"""The settings of the notifications: notify.toml, and what the command line puts over it."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from broker.config import Store
from broker.feed import place
from broker.feed.place import StoreSettings
from quartet.address import Address
from quartet.errors import SettingsError
from quartet.settings import LogSettings, Table

_ADDRESS = re.compile(r"[!#-'*+\-./0-9=?A-Z^_`a-z{|}~]{1,64}@[A-Za-z0-9.-]{1,253}")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_NAME = r"^[A-Za-z0-9._-]{1,64}\Z"
_VISIBLE = re.compile(r"[!-~]+")

Receivers = Annotated[tuple[str, ...], Meta(examples=[["shift@plant.lan"]])]
Timeout = Annotated[float, Meta(ge=1, le=120)]
Port = Annotated[int, Meta(ge=1, le=65535, examples=[587])]


class NotifySettings(Table, frozen=True):
    """`[notify]`: when a message is sent, and what becomes of unsent ones."""

    database: Annotated[str, Meta(examples=["/var/lib/broker/notify.db"])] | None = None
    """File of unsent messages. By default notify.db in the $STATE_DIRECTORY of the service;
    otherwise notify.db beside the file of the store."""
    pause_s: Annotated[float, Meta(ge=0, le=3600)] = 60.0
    """Shortest time between two messages on the alarms of one agent, or on its connection. The
    next message tells what happened meanwhile."""
    summary_above: Annotated[int, Meta(ge=1, le=1000)] = 5
    """Most messages at once. If more is to be told, one summary tells all of it."""
    max_age_h: Annotated[float, Meta(gt=0, le=8760)] = 24.0
    """Older messages are not sent any more."""


class WebhookSettings(Table, frozen=True):
    """`[[webhook]]`: a server that receives each message as JSON, by POST."""

    url: Annotated[str, Meta(examples=["https://hooks.plant.lan/quartet"])]
    """Where to send. It may contain a secret: only its host is logged."""
    name: (
        Annotated[
            str,
            Meta(
                pattern=_NAME,
                description="1 to 64 of A-Z a-z 0-9 . _ -",
                examples=["shift-chat"],
            ),
        ]
        | None
    ) = None
    """Name in the log, and of its unsent messages: two webhooks on one host need names, so that
    each keeps its own when the file is edited. By default its host."""
    secret_file: Annotated[str, Meta(examples=["/etc/broker/webhook.secret"])] | None = None
    """File with the secret that signs each message, of at least 16 characters. By default messages
    are not signed."""
    ca: Annotated[str, Meta(examples=["/etc/broker/webhook-ca.pem"])] | None = None
    """File in PEM: the authorities that are trusted. By default those of the system."""
    insecure: bool = False
    """Allow http:// to another machine. Anyone on the way can read the messages."""
    timeout_s: Timeout = 10.0
    """Longest time for one try."""

    def __post_init__(self) -> None:
        # The URL itself is not shown: it may be a secret.
        try:
            parts = urlsplit(self.url)
            port = parts.port
        except ValueError as error:
            raise ValueError("url: expected https://HOST/PATH, and a port from 1 to 65535") from (
                error
            )
        host = parts.hostname or ""
        is_url = parts.scheme in ("http", "https") and _HOST.fullmatch(host) and port != 0
        if not is_url or not _VISIBLE.fullmatch(self.url) or parts.fragment:
            raise ValueError(
                "url: expected https://HOST/PATH of visible ASCII characters, without a '#'"
            )
        if parts.username is not None or parts.password is not None:
            raise ValueError("url: contains a user or a password, which no server is sent")
        if parts.scheme == "http" and not (Address(host, 1).is_loopback or self.insecure):
            raise ValueError(
                "url: http:// to another machine is not encrypted: use https://, or set insecure ="
                " true"
            )

    @property
    def host(self) -> str:
        """What may be shown of the URL."""
        return urlsplit(self.url).hostname or ""


class MailSettings(Table, frozen=True):
    """`[mail]`: a mail server, and who receives each message."""

    host: Annotated[str, Meta(examples=["mail.plant.lan"])]
    """Name or address of the mail server."""
    sender: Annotated[str, Meta(examples=["quartet@plant.lan"])]
    """Address that messages come from."""
    to: Receivers
    """Addresses of the receivers."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted: "tls" from its begin, "starttls" before anything is sent."""
    port: Port | None = None
    """Port of the mail server. By default 587, and 465 for "tls", and 25 for "none"."""
    user: Annotated[str, Meta(examples=["quartet@plant.lan"])] | None = None
    """Name to sign in with. By default nobody signs in."""
    password_file: Annotated[str, Meta(examples=["/etc/broker/mail.password"])] | None = None
    """File with the password of the user."""
    ca: Annotated[str, Meta(examples=["/etc/broker/mail-ca.pem"])] | None = None
    """File in PEM: the authorities that are trusted. By default those of the system."""
    insecure: bool = False
    """Allow security = "none" to another machine. Anyone on the way can read messages and
    password."""
    timeout_s: Timeout = 30.0
    """Longest time for one try."""

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            raise ValueError(
                f"host: expected a name or an address without a port, got {self.host!r}"
            )
        if not self.to:
            raise ValueError('to: names nobody: expected addresses such as ["shift@plant.lan"]')
        for key, address in [("sender", self.sender), *(("to", each) for each in self.to)]:
            if not _ADDRESS.fullmatch(address):
                raise ValueError(
                    f"{key}: expected an address such as shift@plant.lan, got {address!r}"
                )
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user: needs password_file, and password_file needs user")
        is_open = self.security == "none" and not Address(self.host, 1).is_loopback
        if is_open and not self.insecure:
            raise ValueError(
                'security: "none" to another machine is not encrypted: choose "starttls" or "tls",'
                " or set insecure = true"
            )

    @property
    def port_to_use(self) -> int:
        """As configured; otherwise what is usual."""
        return self.port or {"starttls": 587, "tls": 465, "none": 25}[self.security]


class Settings(Table, frozen=True):
    """notify.toml as a whole."""

    notify: NotifySettings = NotifySettings()
    store: StoreSettings = StoreSettings()
    webhook: tuple[WebhookSettings, ...] = ()
    mail: MailSettings | None = None
    log: LogSettings = LogSettings()


def with_options(settings: Settings, store: str | None, database: str | None) -> Settings:
    """The same with what the command line says. SettingsError."""
    replace = msgspec.structs.replace
    if database:
        settings = replace(settings, notify=replace(settings.notify, database=database))
    return replace(settings, store=place.chosen(store)) if store else settings


def store_of(settings: Settings, environment: Mapping[str, str]) -> Store | None:
    """Where the broker's store is; None: nobody has said it."""
    return place.store_of(settings.store, environment)


def database_path(
    settings: Settings, store: Store | None, environment: Mapping[str, str]
) -> Path | None:
    """Where unsent messages are kept; None: nobody has said it."""
    if settings.notify.database:
        return Path(settings.notify.database)
    return place.own_file("notify.db", store, environment)


def webhook_names(settings: Settings) -> Iterator[tuple[str, str]]:
    """Of each webhook: what it is called, and what it is called without a name, by its host."""
    seen: Counter[str] = Counter()
    for each in settings.webhook:
        seen[each.host] += 1
        number = f" ({seen[each.host]})" if seen[each.host] > 1 else ""
        by_host = f"webhook {each.host}{number}"
        yield f"webhook {each.name}" if each.name else by_host, by_host


def check(settings: Settings) -> None:
    """Raise SettingsError for what only the file as a whole can get wrong."""
    place.check(settings.store)
    if not settings.webhook and settings.mail is None:
        raise SettingsError(
            "webhook: nobody receives a message: add [[webhook]] or [mail] to the configuration"
            " file; 'docs/examples/notify.example.toml' has all keys"
        )
    names = Counter(name for name, _ in webhook_names(settings))
    for name, count in names.items():
        if count > 1:
            raise SettingsError(
                f"webhook.name: {count} receivers are called {name!r}: give each another name"
            )
