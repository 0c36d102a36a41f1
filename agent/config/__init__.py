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
from quartet.settings import LogSettings, Table
from wire.metadata import AGENT_ID

MAX_RATE_HZ = 1000.0
"""Above what any source here gives: an ADS1115 stays under 236 rows/s."""

MIN_RATE_HZ = 0.0001
"""A sample in three hours, far below what is worth a stream."""

# SDA and SCL on the 40-pin header.
_BUS_PINS = {0: (0, 1), 1: (2, 3)}

Rate = Annotated[float, Meta(ge=MIN_RATE_HZ, le=MAX_RATE_HZ)] | Literal["max"]
Seconds = Annotated[float, Meta(ge=0.01, le=3600)]


def host_agent_id() -> str:
    """The host name, in the form of an agent id."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", platform.node())[:64] or "agent"


class AgentSettings(Table, frozen=True):
    """`[agent]`: who this device is."""

    id: Annotated[str, Meta(pattern=rf"^{AGENT_ID.pattern}\Z")] = msgspec.field(
        default_factory=host_agent_id
    )


class BrokerSettings(Table, frozen=True):
    """`[broker]`: where predictions come from."""

    address: str = "127.0.0.1:8061"
    insecure: bool = False
    """Stream beyond this machine without TLS."""

    def __post_init__(self) -> None:
        Address.parse(self.address, "address")


class TlsSettings(Table, frozen=True):
    """`[tls]`: who signs the broker's certificate; this device's own, and its key."""

    ca: str
    certificate: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            missing = "key" if self.key is None else "certificate"
            raise ValueError(f"{missing} is missing: a certificate and its key go together")


class SamplingSettings(Table, frozen=True):
    """`[sampling]`: samples a second, or "max" for as fast as the broker answers."""

    rate_hz: Rate = 10.0

    @property
    def period_ns(self) -> int:
        """The spacing of samples; 0 = not paced."""
        return 0 if self.rate_hz == "max" else round(1e9 / self.rate_hz)


class SpoolSettings(Table, frozen=True):
    """`[spool]`: where unanswered samples are kept, and how many.

    Both directories must exist. Without them they are what systemd made
    for the service, and a simulation has private ones that go with it.
    """

    directory: str | None = None
    """On disk: for what waits long, and over a stop."""
    hot_directory: str | None = None
    """In RAM: survives the death of the process, and costs the SD card nothing."""
    max_bytes: Annotated[int, Meta(ge=64 * 1024)] = 256 * 1024**2
    hot_max_bytes: Annotated[int, Meta(ge=64 * 1024)] = 16 * 1024**2
    when_full: Literal["drop_oldest", "refuse_new"] = "drop_oldest"
    spill_after_s: Annotated[float, Meta(ge=0.1, le=3600)] = 2.0
    durability: Literal["ram", "disk"] = "ram"
    """What a sample must have reached before it is sent."""


class LinkSettings(Table, frozen=True):
    """`[link]`: the window of unanswered samples, and patience in seconds."""

    window: Annotated[int, Meta(ge=1, le=4096)] = 512
    reply_deadline_s: Seconds = 10.0
    keepalive_s: Annotated[float, Meta(ge=10, le=3600)] = 20.0
    backoff_min_s: Seconds = 0.25
    backoff_max_s: Seconds = 30.0

    def __post_init__(self) -> None:
        if self.backoff_min_s > self.backoff_max_s:
            raise ValueError("backoff_min_s is above backoff_max_s")


class JournalSettings(Table, frozen=True):
    """`[journal]`: log all predictions, or only those that differ from the one before."""

    predictions: Literal["all", "changes"] = "all"


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
                " the configuration"
            )
        return self.source


def check(settings: Settings) -> None:
    """Raise SettingsError for what only the command line and the file together can get wrong."""
    if isinstance(settings.chosen_source(), Ads1115Settings) and not settings.sampling.period_ns:
        raise SettingsError(
            'sampling.rate_hz: "max" is for a file; a chip is read on a cadence, and would refuse'
            " one that it cannot keep"
        )
    _check_pins(settings)
    _check_ttl(settings)
    spool = settings.spool
    if spool.directory and spool.directory == spool.hot_directory:
        raise SettingsError("spool.hot_directory: must be another one than spool.directory")
    broker = Address.parse(settings.broker.address, "broker.address")
    if broker.port == 0:
        raise SettingsError("broker.address: a broker cannot have port 0")
    if settings.tls and settings.broker.insecure:
        raise SettingsError(
            "broker.insecure: there is TLS, in [tls]: leave --insecure (or [tls]) out"
        )
    if not broker.is_loopback and not settings.tls and not settings.broker.insecure:
        raise SettingsError(
            f"broker.address: {broker} is beyond this machine, and there is no [tls]: samples"
            " would travel in the clear; give --insecure if that is what you want"
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


def _check_pins(settings: Settings) -> None:
    """The pins of the bus that is read are no outputs."""
    source = settings.source
    if not isinstance(source, Ads1115Settings) or isinstance(source, VirtualAds1115Settings):
        return
    for name, output in (("alarm", settings.outputs.alarm), ("status", settings.outputs.status)):
        if output and output.pin in _BUS_PINS.get(source.bus, ()):
            raise SettingsError(
                f"outputs.{name}.pin: GPIO{output.pin} belongs to I2C bus {source.bus}, by which"
                " the sensors are read"
            )


def _check_ttl(settings: Settings) -> None:
    """An alarm outlives the wait for the next prediction."""
    alarm, period_s = settings.outputs.alarm, settings.sampling.period_ns / 1e9
    if alarm and alarm.ttl_s < 2 * period_s:
        raise SettingsError(
            f"outputs.alarm.ttl_s: {alarm.ttl_s:g} s are over before the next prediction may come:"
            f" {2 * period_s:g} at least, at sampling.rate_hz = {settings.sampling.rate_hz:g}"
        )
