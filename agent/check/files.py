"""The files and directories that a configuration names, looked at before a start."""

from collections.abc import Iterator
from pathlib import Path

from agent.config import Settings, TlsSettings
from agent.config.source import ReplaySettings, VirtualAds1115Settings
from agent.config.virtual import CsvSettings
from agent.spool.directories import DEFAULT, configured_directories
from quartet.clock import Clock
from quartet.distribution import to_install
from quartet.errors import SettingsError
from quartet.inspection import (
    Remark,
    inspect_directory,
    inspect_identity,
    inspect_mqtt,
    inspect_pem,
    inspect_recording,
)


def inspect(settings: Settings, clock: Clock) -> Iterator[Remark]:
    """All that is remarkable about what the settings name, in the order of the file."""
    if settings.tls:
        yield from _inspect_tls(settings.tls, settings.agent.device_id, clock)
    match settings.source:
        case ReplaySettings() as source:
            yield from _inspect_recording(source)
        case VirtualAds1115Settings():
            yield from _inspect_signals(settings)
    if mqtt := settings.outputs.mqtt:
        yield from inspect_mqtt("outputs.mqtt", mqtt, "agent")
    if found := configured_directories(settings.spool):
        directories = found
    elif settings.is_simulated:
        return
    else:
        directories = DEFAULT
    yield from inspect_directory("spool.directory", directories.cold, "agent")
    yield from inspect_directory("spool.hot_directory", directories.hot, "agent")


def _inspect_signals(settings: Settings) -> Iterator[Remark]:
    for name in ("a0", "a1", "a2", "a3"):
        signal = getattr(settings.virtual, name)
        if isinstance(signal, CsvSettings):
            columns = (signal.column,) if isinstance(signal.column, str) else ()
            yield from inspect_recording(f"virtual.{name}.path", signal.path, "agent", columns)


def _inspect_recording(source: ReplaySettings) -> Iterator[Remark]:
    if source.path == "-":
        return
    yield from inspect_recording(
        "source.path",
        source.path,
        "agent",
        tuple(map(str, source.columns)),
        str(source.time),
    )


def _inspect_tls(tls: TlsSettings, agent_id: str, clock: Clock) -> Iterator[Remark]:
    try:
        from quartet.certificates import unfit_for_agents  # noqa: PLC0415 - for TLS alone
        from quartet.pem import read_trusted, trusted_file  # noqa: PLC0415 - for TLS alone
    except ImportError as error:
        yield Remark(f"tls: {error.name} is missing: {to_install('tls')}", fails=True)
        return
    try:
        path = trusted_file(tls.ca)
    except SettingsError as error:
        yield Remark(str(error), fails=True)
        return
    yield from inspect_pem(
        "tls.ca", path, "agent", clock, lambda: read_trusted(tls.ca).certificates
    )
    if tls.certificate is None or tls.key is None:
        return
    for each in inspect_identity(tls.certificate, tls.key, "agent", clock):
        if isinstance(each, Remark):
            yield each
        elif agent_id not in each.names:
            yield Remark(
                f"tls.certificate: {Path(tls.certificate)} names {each}, not {agent_id}: the broker"
                f" would refuse it: set agent.id, or 'broker pki issue {agent_id}'",
                fails=True,
            )
        elif reason := unfit_for_agents(each):
            yield Remark(f"tls.certificate: {tls.certificate}: {reason}", fails=True)
