"""A virtual chip as it is configured: on its bus, with its signals and its faults."""

import random

from agent.clock import WaitableClock
from agent.config.virtual import SignalSettings, VirtualSettings
from agent.errors import SourceError
from agent.sources.models import ADS1115, Model
from agent.sources.virtual.bus import VirtualI2C
from agent.sources.virtual.chip import Signal, VirtualAds1115
from agent.sources.virtual.faults import FaultSchedule
from agent.sources.virtual.signals import signal


def install(
    settings: VirtualSettings, address: int, clock: WaitableClock, model: Model = ADS1115
) -> VirtualI2C:
    """A bus with one chip. SourceError where a file of signals cannot be read."""
    pins = (settings.a0, settings.a1, settings.a2, settings.a3)
    chance = random.Random(settings.seed)  # noqa: S311
    began_ns = clock.monotonic_ns()
    chip = VirtualAds1115(
        [
            _since(began_ns, _signal(f"virtual.a{pin}", each, chance))
            for pin, each in enumerate(pins)
        ],
        model=model,
        oscillator=settings.oscillator,
        supply_v=settings.supply_v,
    )
    return VirtualI2C(
        clock,
        {address: chip},
        FaultSchedule(clock, chip, settings.faults),
        frequency_hz=settings.bus_hz,
        overhead_ns=round(settings.transaction_us * 1e3),
    )


def _signal(table: str, settings: SignalSettings, chance: random.Random) -> Signal:
    try:
        return signal(settings, chance)
    except SourceError as error:
        raise SourceError(f"{table}: {error}") from error


def _since(began_ns: int, source: Signal) -> Signal:
    """A signal that begins with the installation."""
    return lambda at_ns, held_v: source(at_ns - began_ns, held_v)
