"""What a configuration says, in short lines, for one who has just written it."""

from collections.abc import Iterator

from agent.config import Settings
from agent.config.source import FULL_SCALE_V, Ads1115Settings, ReplaySettings
from agent.model import Identity
from agent.sources.opening import channels
from agent.turn import ranked
from quartet.channels import CHANNELS
from quartet.columns import named


def outline(settings: Settings, who: Identity) -> str:
    """A line for each of id, sensors, rate and broker; `who` is what the agent streams as."""
    return "\n".join(named(_lines(settings, who)))


def _lines(settings: Settings, who: Identity) -> Iterator[tuple[str, str]]:
    yield "id", who.agent_id + _origin(settings, who)
    match settings.chosen_source():
        case ReplaySettings() as replay:
            yield "recording", replay.path
        case Ads1115Settings() as chip:
            kind = "virtual " if settings.is_virtual else ""
            where = f" at {chip.chip_address:#x} on bus {chip.bus}"
            yield "chip", f"{kind}{chip.chip.upper()}{'' if kind else where}"
            yield from _sensors(chip)
    rate_hz = settings.sampling.rate_hz
    yield "rate", rate_hz if isinstance(rate_hz, str) else f"{rate_hz:g} Hz"
    home, *others = ranked(who.agent_id, settings.broker.addresses)
    then = f", its home; then {', '.join(map(str, others))}" if others else ""
    via = f", by the proxy {settings.broker.via}" if settings.broker.via else ""
    yield "broker", f"{home}{then}{', with TLS' if settings.tls else ''}{via}"


def _origin(settings: Settings, who: Identity) -> str:
    if who.is_rehearsal:
        return ", a new name for each run"
    return "" if settings.agent.id else ", the name of this computer: agent.id is not set"


def _sensors(source: Ads1115Settings) -> Iterator[tuple[str, str]]:
    there = {channel.number: channel for channel in channels(source)}
    gains = {number: table.gain for number, _, table in source.sensors()}
    for number in range(1, CHANNELS + 1):
        if channel := there.get(number):
            name = [] if channel.label == channel.name else [channel.label]
            gain = f"gain {gains[number]} (up to {FULL_SCALE_V[gains[number]]} V)"
            yield f"sensor{number}", ", ".join([channel.pins, gain, *name, channel.unit])
        else:
            yield f"sensor{number}", "none: its value is always 0"
