"""The agent's settings: agent.toml, and what the command line puts over it."""

import platform
import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.config.outputs import OutputsSettings
from agent.config.source import (
    Ads1115Settings,
    ReplaySettings,
    SourceSettings,
    VirtualAds1115Settings,
)
from agent.config.virtual import VirtualSettings
from quartet.address import Address
from quartet.errors import SettingsError
from quartet.metrics.settings import MetricsSettings
from quartet.settings import LogSettings, Table
from wire.metadata import AGENT_ID, AGENT_ID_IN_WORDS

MAX_RATE_HZ = 1000.0
"""Above what any source here gives: an ADS1115 stays under 236 rows/s."""

MIN_RATE_HZ = 0.0001
"""A sample in three hours, far below what is worth a stream."""

# What a broker is told to listen at each address of its machine.
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - nothing is bound

# SDA and SCL on the 40-pin header.
_BUS_PINS = {0: (0, 1), 1: (2, 3)}

Rate = Annotated[float, Meta(ge=MIN_RATE_HZ, le=MAX_RATE_HZ)] | Literal["max", "recorded"]
Seconds = Annotated[float, Meta(ge=0.01, le=3600)]
AgentId = Annotated[
    str,
    Meta(pattern=rf"^{AGENT_ID.pattern}\Z", description=AGENT_ID_IN_WORDS, examples=["press-4"]),
]


MAX_AGENT_ID = 64
"""Characters."""


def host_agent_id() -> str:
    """The host name, in the form of an agent id."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", platform.node())[:MAX_AGENT_ID] or "agent"


class AgentSettings(Table, frozen=True):
    """`[agent]`: who this device is."""

    id: AgentId | None = None
    """The name of this device on the broker. By default the host name, and in a simulation a new
    name for each run."""

    @property
    def device_id(self) -> str:
        """The name of what is no rehearsal."""
        return self.id or host_agent_id()


class BrokerSettings(Table, frozen=True):
    """`[broker]`: where predictions come from."""

    address: str | tuple[str, ...] = "127.0.0.1:8061"
    """Host and port of the broker, as HOST:PORT or [IPV6]:PORT. For brokers with a common store, a
    list: each agent has one of them as its home, and uses another one while that one is away."""
    insecure: bool = False
    """Stream to another machine without TLS. Anyone on the way can read and change the samples."""
    proxy: Annotated[str, Meta(examples=["127.0.0.1:3128"])] | None = None
    """Host and port of an HTTP proxy that connects to the broker (by CONNECT), and looks its name
    up. Without it no proxy is used, also none of the environment."""

    def __post_init__(self) -> None:
        seen: dict[tuple[str, int], Address] = {}
        for name, text in self._named():
            address = Address.parse(text, name)
            key = address.host.lower().removesuffix("."), address.port
            if key in seen:
                raise SettingsError(f"{name}: {address} is in the list twice: remove one of them")
            seen[key] = address
        if not seen:
            raise SettingsError('address: the list is empty: expected at least one "HOST:PORT"')
        if self.proxy is not None:
            Address.parse(self.proxy, "proxy")

    @property
    def via(self) -> Address | None:
        """The proxy."""
        return Address.parse(self.proxy, "proxy") if self.proxy else None

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Each broker, in the order of the file."""
        return tuple(Address.parse(text, name) for name, text in self._named())

    def _named(self) -> list[tuple[str, str]]:
        """Each address with the name of its place."""
        if isinstance(self.address, str):
            return [("address", self.address)]
        return [(f"address[{index}]", text) for index, text in enumerate(self.address)]


class TlsSettings(Table, frozen=True):
    """`[tls]`: encrypted streams. Without this table the agent streams on this machine only."""

    ca: Annotated[str, Meta(examples=["/etc/agent/ca.pem"])]
    """File in PEM: the authority that signed the broker's certificate, or several. "system" stands
    for those that this system trusts, for a broker behind a public certificate."""
    certificate: Annotated[str, Meta(examples=["/etc/agent/agent.pem"])] | None = None
    """File in PEM: the certificate of this device. It must name `agent.id`."""
    key: Annotated[str, Meta(examples=["/etc/agent/agent.key"])] | None = None
    """File in PEM: the private key of the certificate."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            missing = "key" if self.key is None else "certificate"
            raise ValueError(f"{missing}: missing: a certificate needs its key, and the reverse")


class SamplingSettings(Table, frozen=True):
    """`[sampling]`: when samples are taken."""

    rate_hz: Rate = 10.0
    """Samples per second. "max" replays a file as fast as the broker answers, and "recorded" at
    the times of its rows."""

    @property
    def period_ns(self) -> int:
        """The spacing of samples; 0 = not paced."""
        return 0 if isinstance(self.rate_hz, str) else round(1e9 / self.rate_hz)


class SpoolSettings(Table, frozen=True):
    """`[spool]`: where samples are kept until they are answered, and how many.

    Both directories must exist. A service has them from systemd. A simulation without them uses
    temporary directories.
    """

    directory: Annotated[str, Meta(examples=["/var/lib/agent"])] | None = None
    """Directory on disk, for samples that wait long or over a restart. By default the
    $STATE_DIRECTORY of the service, or else /var/lib/agent."""
    hot_directory: Annotated[str, Meta(examples=["/run/agent"])] | None = None
    """Directory in RAM, which outlives the process and spares the SD card. By default the
    $RUNTIME_DIRECTORY of the service, or else /run/agent."""
    max_bytes: Annotated[int, Meta(ge=64 * 1024)] = 256 * 1024**2
    """Most disk space for unanswered samples. One sample takes 64 bytes."""
    hot_max_bytes: Annotated[int, Meta(ge=64 * 1024)] = 16 * 1024**2
    """Most RAM for unanswered samples, used if the disk fails."""
    when_full: Literal["drop_oldest", "refuse_new"] = "drop_oldest"
    """Which sample is lost when the spool is full: the oldest one or the new one."""
    spill_after_s: Annotated[float, Meta(ge=0.1, le=3600)] = 2.0
    """How long a sample waits in RAM for its answer before it is written to disk."""
    durability: Literal["ram", "disk"] = "ram"
    """Where a sample must be stored before it is sent. "disk" survives a power failure, and
    writes to the disk for each sample."""


class LinkSettings(Table, frozen=True):
    """`[link]`: how the connection to the broker is used, and when it is made again."""

    window: Annotated[int, Meta(ge=1, le=4096)] = 512
    """Number of samples that may be sent before the first of them is answered."""
    reply_deadline_s: Seconds = 10.0
    """If the broker does not answer for this long, the agent connects again."""
    keepalive_s: Annotated[float, Meta(ge=10, le=3600)] = 20.0
    """Time between two pings on a connection without traffic."""
    backoff_min_s: Seconds = 0.25
    """Longest wait before the first retry. It is doubled for each further retry."""
    backoff_max_s: Seconds = 30.0
    """Longest wait before any retry. The actual wait is random, from 0 to the longest."""

    def __post_init__(self) -> None:
        if self.backoff_min_s > self.backoff_max_s:
            raise ValueError("backoff_min_s: must not be above backoff_max_s")


class JournalSettings(Table, frozen=True):
    """`[journal]`: which predictions are logged."""

    predictions: Literal["all", "changes"] = "all"
    """Log each prediction, or only those that differ from the prediction before."""


class Settings(Table, frozen=True):
    """agent.toml as a whole."""

    agent: AgentSettings = AgentSettings()
    broker: BrokerSettings = BrokerSettings()
    tls: TlsSettings | None = None
    source: SourceSettings | None = None
    virtual: VirtualSettings = VirtualSettings()
    sampling: SamplingSettings = SamplingSettings()
    spool: SpoolSettings = SpoolSettings()
    link: LinkSettings = LinkSettings()
    outputs: OutputsSettings = OutputsSettings()
    journal: JournalSettings = JournalSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()

    @property
    def is_simulated(self) -> bool:
        """Whether no hardware is read."""
        return isinstance(self.source, ReplaySettings | VirtualAds1115Settings)

    @property
    def is_virtual(self) -> bool:
        """Whether the chip is one in software."""
        return isinstance(self.source, VirtualAds1115Settings)

    def with_source(self, source: SourceSettings) -> "Settings":
        """The same, with another source."""
        return msgspec.structs.replace(self, source=source)

    def with_virtual_chip(self) -> "Settings":
        """The same sensors, at a chip in software; see [virtual]."""
        source = self.source
        fields = msgspec.structs.asdict(source) if isinstance(source, Ads1115Settings) else {}
        return self.with_source(VirtualAds1115Settings(**fields))

    def chosen_source(self) -> SourceSettings:
        """The source; SettingsError where neither file nor command line names one."""
        if self.source is None:
            raise SettingsError(
                "no source of samples: give --simulate CSV or --virtual, or a [source] table in"
                " the configuration ('agent config --example' prints one)"
            )
        return self.source


def check(settings: Settings) -> None:
    """Raise SettingsError for what only the command line and the file together can get wrong."""
    source, rate_hz = settings.chosen_source(), settings.sampling.rate_hz
    if isinstance(source, Ads1115Settings) and isinstance(rate_hz, str):
        raise SettingsError(
            f'sampling.rate_hz: "{rate_hz}" works with a file only (kind = "replay"): give a'
            " number of samples per second for a chip"
        )
    if isinstance(source, ReplaySettings) and source.speed != 1 and rate_hz != "recorded":
        raise SettingsError('source.speed: works with sampling.rate_hz = "recorded" only')
    _check_pins(settings)
    _check_ttl(settings)
    spool = settings.spool
    if spool.directory and spool.directory == spool.hot_directory:
        raise SettingsError("spool.hot_directory: must not be the same as spool.directory")
    brokers = settings.broker.addresses
    if any(broker.port == 0 for broker in brokers):
        raise SettingsError("broker.address: a broker cannot have port 0")
    _check_name(settings)
    if settings.tls and settings.broker.insecure:
        raise SettingsError(
            "broker.insecure: contradicts [tls]: remove one of the two (or --insecure)"
        )
    if everywhere := next((each for each in brokers if each.host in _EVERYWHERE), None):
        raise SettingsError(
            f"broker.address: {everywhere} is where a broker listens, not where it is reached: name"
            " its machine, or 127.0.0.1 for this one"
        )
    away = [broker for broker in brokers if not broker.is_loopback]
    if away and not settings.tls and not settings.broker.insecure:
        raise SettingsError(
            f"broker.address: {away[0]} is another machine, and there is no [tls]: samples would"
            " be sent unencrypted; add [tls], or allow it with --insecure or broker.insecure = true"
        )
    via = settings.broker.via
    if via and not via.is_loopback and not settings.tls and not settings.broker.insecure:
        raise SettingsError(
            f"broker.proxy: {via} is another machine, and there is no [tls]: samples would be sent"
            " unencrypted; add [tls], or allow it with --insecure or broker.insecure = true"
        )


def reloaded(running: Settings, latest: Settings) -> Settings:
    """The running settings with the latest log level and alarm times. SettingsError as check()."""
    alarm, new = running.outputs.alarm, latest.outputs.alarm
    if alarm and new:
        alarm = msgspec.structs.replace(
            alarm, on_after=new.on_after, off_after=new.off_after, ttl_s=new.ttl_s
        )
    outputs = msgspec.structs.replace(running.outputs, alarm=alarm)
    settings = msgspec.structs.replace(running, log=latest.log, outputs=outputs)
    check(settings)
    return settings


def _check_name(settings: Settings) -> None:
    """A simulation has a name of its own where another program knows the agent by it."""
    if not settings.is_simulated or settings.agent.id:
        return
    if settings.tls:
        raise SettingsError(
            "agent.id: a simulation with [tls] needs the name in its certificate: give --agent-id"
            " NAME"
        )
    if settings.outputs.mqtt:
        raise SettingsError(
            "agent.id: a simulation with [outputs.mqtt] needs a name, because the MQTT server"
            " remembers each one: give --agent-id NAME"
        )


def _check_pins(settings: Settings) -> None:
    """The pins of the bus that is read are no outputs."""
    source = settings.source
    if not isinstance(source, Ads1115Settings) or isinstance(source, VirtualAds1115Settings):
        return
    for name, output in (("alarm", settings.outputs.alarm), ("status", settings.outputs.status)):
        if output and output.pin in _BUS_PINS.get(source.bus, ()):
            raise SettingsError(
                f"outputs.{name}.pin: GPIO{output.pin} is used by I2C bus {source.bus} to read the"
                " sensors: choose another pin"
            )


def _check_ttl(settings: Settings) -> None:
    """An alarm outlives the wait for the next prediction."""
    alarm, period_s = settings.outputs.alarm, settings.sampling.period_ns / 1e9
    if alarm and alarm.ttl_s < 2 * period_s:
        raise SettingsError(
            f"outputs.alarm.ttl_s: {alarm.ttl_s:g} s is too short: expected at least"
            f" {2 * period_s:g} s with sampling.rate_hz = {settings.sampling.rate_hz:g}"
        )
