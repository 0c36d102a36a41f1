"""The broker's settings: broker.toml, and what the command line puts over it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qs, urlsplit

import msgspec

from quartet.address import Address, Place, place
from quartet.errors import SettingsError
from quartet.metrics.settings import MetricsSettings, on_port
from quartet.settings import LogSettings, Table
from wire.metadata import AGENT_ID, AGENT_ID_IN_WORDS

AgentId = Annotated[
    str, msgspec.Meta(pattern=rf"^{AGENT_ID.pattern}\Z", description=AGENT_ID_IN_WORDS)
]

Agents = Annotated[tuple[AgentId, ...], msgspec.Meta(examples=[["press-1", "press-2"]])]
NewLines = Annotated[int, msgspec.Meta(ge=0, examples=[2000])]
Options = Annotated[dict[str, object], msgspec.Meta(examples=[{"settle": 300}])]
Threads = Annotated[int, msgspec.Meta(ge=0, le=64, examples=[2])]


class ListenSettings(Table, frozen=True):
    """`[listen]`: where agents connect."""

    address: str = "127.0.0.1:8061"
    """Host and port to listen on, as HOST:PORT or [IPV6]:PORT, or a socket in the file system, as
    unix:/PATH. Port 0 takes any free port."""
    insecure: bool = False
    """Listen to other machines without TLS. Anyone there can stream under any name."""
    shared: bool = False
    """Let several processes of one machine listen on this port: the system gives each connection
    to one of them. Needs recorder.url, and no unix:/PATH. By default each process has a port of
    its own."""

    def __post_init__(self) -> None:
        place(self.address, "address")

    @property
    def place(self) -> Place:
        """The address, read."""
        return place(self.address, "listen.address")


class TlsSettings(Table, frozen=True):
    """`[tls]`: encrypted streams. Without this table the broker listens on this machine only."""

    certificate: Annotated[str, msgspec.Meta(examples=["/etc/broker/broker.pem"])]
    """File in PEM: the certificate of the broker."""
    key: Annotated[str, msgspec.Meta(examples=["/etc/broker/broker.key"])]
    """File in PEM: the private key of the certificate."""
    client_ca: Annotated[str, msgspec.Meta(examples=["/etc/broker/ca.pem"])] | None = None
    """File in PEM: the authority that signed the certificates of agents."""
    require_client_certificate: bool = True
    """false, without client_ca: agents need no certificate, and may use any name."""
    crl: Annotated[str, msgspec.Meta(examples=["/etc/broker/crl.pem"])] | None = None
    """File in PEM: the list of revoked certificates."""

    def __post_init__(self) -> None:
        if self.require_client_certificate and not self.client_ca:
            raise ValueError(
                "client_ca: missing: name the authority that signs the certificates of agents, or"
                " set require_client_certificate = false to accept agents without a certificate"
            )
        if self.client_ca and not self.require_client_certificate:
            raise ValueError(
                "client_ca: contradicts require_client_certificate = false: remove one of the two"
            )
        if self.crl and not self.client_ca:
            raise ValueError("crl: needs client_ca")


class AccessSettings(Table, frozen=True):
    """`[access]`: which agents may stream."""

    agents: Agents | None = None
    """Names of the agents that may stream. By default all agents may."""


class LimitsSettings(Table, frozen=True):
    """`[limits]`: how much of the broker agents may use."""

    streams: Annotated[int, msgspec.Meta(ge=1)] = 1024
    """Most streams at the same time."""
    streams_per_agent: Annotated[int, msgspec.Meta(ge=2)] = 16
    """Most streams of one agent at the same time. An agent that reconnects has two for a moment."""
    new_lines_per_minute: NewLines | None = None
    """Most unknown agents per minute from one host; 0: no limit. By default 2000, and no limit
    where agents must have a certificate."""


# A thousand devices behind one router come at once, and once. Who invents names comes to 12,000
# a minute on a small machine.
_NEW_LINES_PER_MINUTE = 2000

# A line occupies one at a time: two let a slow one not stop the others.
_ONNX_THREADS = 2


class PredictorSettings(Table, frozen=True):
    """`[predictor]`: the model that answers each sample."""

    use: str = "chart"
    """Name of the predictor: chart, limits, onnx, parity, the name that an installed package
    gives it, or module:Class."""
    options: Options = msgspec.field(default_factory=dict)
    """Options of the predictor, as a table [predictor.options]. docs/models.md describes them."""
    threads: Threads | None = None
    """Number of threads for a slow predictor; 0: it runs on the event loop. By default 0, and 2
    for onnx."""

    @property
    def threads_to_use(self) -> int:
        """As configured; else none, but for the one that is known to be slow."""
        if self.threads is None:
            return _ONNX_THREADS if self.use == "onnx" else 0
        return self.threads


StoreUrl = Annotated[str, msgspec.Meta(examples=["postgresql://broker@db1/quartet"])]

Store = Path | str
"""Where records are: a file, or the URL of a database."""

_SCHEMES = ("postgresql://", "postgres://")
_PORT = re.compile(r"(?:\[[^]]*\]|[^:]*):(.*)")
_MOST_PORT = 65535


def check_url(url: str) -> None:
    """Raise ValueError for a URL that is none of a database, or that tells a password."""
    example = "a database has a URL such as postgresql://broker@db1/quartet"
    if not url.startswith(_SCHEMES):
        raise ValueError(example)
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(f"{error}: {example}") from None
    named = parse_qs(parts.query, keep_blank_values=True)
    if parts.password is not None or named.keys() & {"password", "sslpassword"}:
        raise ValueError(
            "contains a password, which others could read: put it into ~/.pgpass, or into the file"
            " that PGPASSFILE names"
        )
    _, _, hosts = parts.netloc.rpartition("@")
    for host in hosts.split(","):
        given = _PORT.fullmatch(host)
        port = given[1] if given else ""
        # It is not shown: with a '/' or '#' in a password, the password would be.
        if port and not (port.isdecimal() and 0 < int(port) <= _MOST_PORT):
            raise ValueError(f"expected a port from 1 to {_MOST_PORT} behind a host: {example}")


Days = Annotated[float, msgspec.Meta(gt=0)]
Bytes = Annotated[int, msgspec.Meta(ge=1 << 20)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class RecorderSettings(Table, frozen=True):
    """`[recorder]`: where samples and predictions are kept, and how many."""

    path: Annotated[str, msgspec.Meta(examples=["/var/lib/broker/broker.db"])] | None = None
    """File of the store. By default broker.db in the $STATE_DIRECTORY of the service; otherwise
    records are kept in memory and lost when the broker stops."""
    url: StoreUrl | None = None
    """PostgreSQL database of the store, in place of a file: several brokers share it. The password
    is read from ~/.pgpass or from the file that PGPASSFILE names."""
    sync: Literal["normal", "full"] = "normal"
    """When a prediction is safe enough to send. "normal" survives a crash of the broker, "full"
    survives a power failure too."""
    max_age_days: Days = 30.0
    """How long samples are kept."""
    max_bytes: Bytes = 1 << 30
    """Largest size of the file. A database has no such limit."""
    replay: Count = 10_000
    """Number of latest samples of an agent from which its predictor is rebuilt if it has no
    snapshot. At least 1000 are kept."""

    def __post_init__(self) -> None:
        if self.url is None:
            return
        try:
            check_url(self.url)
        except ValueError as error:
            raise ValueError(f"url: {error}") from None


Generation = Annotated[int, msgspec.Meta(ge=0)]


class FleetSettings(Table, frozen=True):
    """`[fleet]`: several brokers that share a database."""

    generation: Generation = 0
    """Number of the predictor's version. Raise it with each new predictor: brokers with a lower
    number no longer serve the agents that one with a higher number has served."""


class Settings(Table, frozen=True):
    """broker.toml as a whole."""

    listen: ListenSettings = ListenSettings()
    tls: TlsSettings | None = None
    access: AccessSettings = AccessSettings()
    limits: LimitsSettings = LimitsSettings()
    predictor: PredictorSettings = msgspec.field(default_factory=PredictorSettings)
    recorder: RecorderSettings = RecorderSettings()
    fleet: FleetSettings = FleetSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()

    @property
    def limits_to_use(self) -> LimitsSettings:
        """As configured; by default names are limited where nobody has signed them."""
        if self.limits.new_lines_per_minute is not None:
            return self.limits
        signed = self.tls is not None and self.tls.require_client_certificate
        most = 0 if signed else _NEW_LINES_PER_MINUTE
        return msgspec.structs.replace(self.limits, new_lines_per_minute=most)


def with_store(recorder: RecorderSettings, store: str) -> RecorderSettings:
    """The same with another store, a path or a URL. SettingsError."""
    if isinstance(given := given_store(store), Path):
        return msgspec.structs.replace(recorder, path=store, url=None)
    return msgspec.structs.replace(recorder, path=None, url=given)


def given_store(text: str, option: str = "--store") -> Store:
    """What an option names: a path, or the URL of a database. SettingsError."""
    if "://" not in text:
        return Path(text)
    try:
        check_url(text)
    except ValueError as error:
        raise SettingsError(f"{option}: {error}") from None
    return text


def for_process(settings: Settings, number: int) -> Settings:
    """The settings of one of several broker processes on a machine, numbered from 1.

    Each listens on a port of its own, unless they share one; and for metrics always.
    SettingsError.
    """
    if not settings.recorder.url:
        raise SettingsError(
            "--process: several processes need a shared store, and there is no recorder.url: give"
            " them a database, or run one broker without --process"
        )
    address = settings.listen.place
    if not isinstance(address, Address):
        raise SettingsError(
            f"--process: one process alone can listen on {address}: choose HOST:PORT in"
            " listen.address"
        )
    settings = msgspec.structs.replace(settings, metrics=on_port(settings.metrics, number))
    if settings.listen.shared or not address.port:
        return settings
    port = address.port + number - 1
    try:
        own = str(Address.parse(str(Address(address.host, port)), "listen.address"))
    except SettingsError:
        raise SettingsError(
            f"--process: process {number} would listen on port {port}: choose a lower port in"
            " listen.address"
        ) from None
    return msgspec.structs.replace(
        settings, listen=msgspec.structs.replace(settings.listen, address=own)
    )


def store_of(settings: Settings, environment: Mapping[str, str]) -> Store | None:
    """Where the store is: as configured, else where systemd keeps state; None: in memory."""
    if settings.recorder.url:
        return settings.recorder.url
    if settings.recorder.path:
        return Path(settings.recorder.path)
    directory = environment.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(directory, "broker.db") if directory else None


def reloaded(running: Settings, latest: Settings) -> Settings:
    """The running settings with the latest log level, list of agents and limits."""
    return msgspec.structs.replace(
        running, log=latest.log, access=latest.access, limits=latest.limits
    )


def check(settings: Settings) -> None:
    """Raise SettingsError for what only the command line and the file together can get wrong."""
    address = settings.listen.place
    if settings.recorder.url and settings.recorder.path:
        raise SettingsError("recorder.url: contradicts recorder.path: remove one of the two")
    if isinstance(address, Address) and address.port and address == settings.metrics.address:
        raise SettingsError("metrics.listen: is also listen.address: choose another port")
    if settings.listen.shared and not settings.recorder.url:
        raise SettingsError(
            "listen.shared: the processes on one port need a shared store, and there is no"
            " recorder.url: give them a database, or remove listen.shared"
        )
    if settings.listen.shared and not isinstance(address, Address):
        raise SettingsError(
            f"listen.shared: one process alone can listen on {address}: remove listen.shared, or"
            " choose HOST:PORT"
        )
    if settings.tls and settings.listen.insecure:
        raise SettingsError(
            "listen.insecure: contradicts [tls]: remove one of the two (or --insecure)"
        )
    if not address.is_loopback and not settings.tls and not settings.listen.insecure:
        raise SettingsError(
            f"listen.address: {address} is open to other machines, and there is no [tls]: anyone"
            " there could stream; 'broker pki init' makes certificates, --insecure works without"
        )
