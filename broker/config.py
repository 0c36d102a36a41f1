"""The broker's settings: broker.toml, and what the command line puts over it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from quartet.address import Address
from quartet.errors import SettingsError
from quartet.settings import LogSettings, Table
from wire.metadata import AGENT_ID

AgentId = Annotated[str, msgspec.Meta(pattern=rf"^{AGENT_ID.pattern}\Z")]


class ListenSettings(Table, frozen=True):
    """`[listen]`: where agents connect. Port 0 takes any free port."""

    address: str = "127.0.0.1:8061"
    insecure: bool = False
    """Listen beyond this machine without TLS."""

    def __post_init__(self) -> None:
        Address.parse(self.address, "address")


class TlsSettings(Table, frozen=True):
    """`[tls]`: the broker's certificate, and the authorities of those that agents must show."""

    certificate: str
    key: str
    client_ca: str | None = None
    require_client_certificate: bool = True
    crl: str | None = None

    def __post_init__(self) -> None:
        if self.require_client_certificate and not self.client_ca:
            raise ValueError(
                "client_ca is missing: it signs the certificates of agents; to let in anyone who"
                " does not show one, set require_client_certificate = false"
            )
        if self.client_ca and not self.require_client_certificate:
            raise ValueError(
                "client_ca: has no effect while require_client_certificate is false: remove one"
                " of the two"
            )
        if self.crl and not self.client_ca:
            raise ValueError("crl: revokes nothing without client_ca")


class AccessSettings(Table, frozen=True):
    """`[access]`: the agents that may stream; without a list, all."""

    agents: tuple[AgentId, ...] | None = None


class LimitsSettings(Table, frozen=True):
    """`[limits]`: the most streams at a time, and how fast new agents may come."""

    streams: Annotated[int, msgspec.Meta(ge=1)] = 1024
    streams_per_agent: Annotated[int, msgspec.Meta(ge=2)] = 16
    """Two at least: a new stream comes while the one that it supersedes ends."""
    new_lines_per_minute: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Agents that were never seen, of one host; 0: no limit."""


# A thousand devices behind one router come at once, and once. Who invents names comes to 12,000
# a minute on a small machine.
_NEW_LINES_PER_MINUTE = 2000

# A line occupies one at a time: two let a slow one not stop the others.
_ONNX_THREADS = 2


class PredictorSettings(Table, frozen=True):
    """`[predictor]`: the black box, and the keyword arguments that it is made with."""

    use: str = "chart"
    options: dict[str, object] = msgspec.field(default_factory=dict)
    threads: Annotated[int, msgspec.Meta(ge=0, le=64)] | None = None
    """For a black box that takes more than microseconds; 0: it runs on the event loop."""

    @property
    def threads_to_use(self) -> int:
        """As configured; else none, but for the one that is known to be slow."""
        if self.threads is None:
            return _ONNX_THREADS if self.use == "onnx" else 0
        return self.threads


Days = Annotated[float, msgspec.Meta(gt=0)]
Bytes = Annotated[int, msgspec.Meta(ge=1 << 20)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class RecorderSettings(Table, frozen=True):
    """`[recorder]`: where samples and answers are kept, and how many. Without path, in memory."""

    path: str | None = None
    sync: Literal["normal", "full"] = "normal"
    """What an answer survives: the broker's death, or that of the machine as well."""
    max_age_days: Days = 30.0
    max_bytes: Bytes = 1 << 30
    replay: Count = 10_000
    """The latest samples of a line, from which a black box without a snapshot is rebuilt."""


class Settings(Table, frozen=True):
    """broker.toml as a whole."""

    listen: ListenSettings = ListenSettings()
    tls: TlsSettings | None = None
    access: AccessSettings = AccessSettings()
    limits: LimitsSettings = LimitsSettings()
    predictor: PredictorSettings = msgspec.field(default_factory=PredictorSettings)
    recorder: RecorderSettings = RecorderSettings()
    log: LogSettings = LogSettings()

    @property
    def limits_to_use(self) -> LimitsSettings:
        """As configured; by default names are limited where nobody has signed them."""
        if self.limits.new_lines_per_minute is not None:
            return self.limits
        signed = self.tls is not None and self.tls.require_client_certificate
        most = 0 if signed else _NEW_LINES_PER_MINUTE
        return msgspec.structs.replace(self.limits, new_lines_per_minute=most)


def store_path(settings: Settings, environment: Mapping[str, str]) -> Path | None:
    """Where the store is: as configured, else where systemd keeps state; None: in memory."""
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
    address = Address.parse(settings.listen.address, "listen.address")
    if settings.tls and settings.listen.insecure:
        raise SettingsError(
            "listen.insecure: there is TLS, in [tls]: leave --insecure (or [tls]) out"
        )
    if not address.is_loopback and not settings.tls and not settings.listen.insecure:
        raise SettingsError(
            f"listen.address: {address} is open to other machines, and there is no [tls]: anyone"
            " there could stream; 'broker pki init' makes one, and --insecure does without"
        )
