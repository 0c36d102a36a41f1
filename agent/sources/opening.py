"""From a configuration to a source that is open."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from agent.clock import WaitableClock
from agent.config import Settings
from agent.config.source import Ads1115Settings, ReplaySettings, VirtualAds1115Settings
from agent.config.virtual import VirtualSettings
from agent.errors import SourceError
from agent.sources import Source
from agent.sources.bus import lock_chip, open_bus
from agent.sources.channel import Channel
from agent.sources.models import MODELS
from quartet.distribution import to_install

if TYPE_CHECKING:
    from agent.sources.chip import Chip


@contextmanager
def open_source(settings: Settings, clock: WaitableClock) -> Iterator[Source]:
    """The source, which whoever uses it closes; its chip is nobody else's while entered.

    SourceError where it cannot be opened.
    """
    chosen = settings.chosen_source()
    if isinstance(chosen, ReplaySettings):
        from agent.sources.replay import Replay  # noqa: PLC0415 - a device reads no recording

        yield Replay(chosen, is_paced=settings.sampling.rate_hz == "recorded")
        return
    with own_chip(chosen, settings.virtual, clock) as chip:
        from agent.sources.ads1115 import Ads1115  # noqa: PLC0415 - as in own_chip

        yield Ads1115(
            chip,
            channels(chosen),
            clock,
            average=chosen.average,
            period_ns=settings.sampling.period_ns,
        )


@contextmanager
def own_chip(
    settings: Ads1115Settings, virtual: VirtualSettings, clock: WaitableClock
) -> Iterator["Chip"]:
    """The chip, not yet open, and nobody else's while entered. SourceError where it is."""
    try:
        from agent.sources.chip import Chip  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        raise SourceError(f"no driver for the ADS1115 ({error}): {to_install('pi')}") from error
    model = MODELS[settings.chip]
    if isinstance(settings, VirtualAds1115Settings):
        from agent.sources.virtual.installation import install  # noqa: PLC0415 - for few

        bus = install(virtual, settings.chip_address, clock, model)
        name = f"virtual {model.name} at {settings.chip_address:#x}"
        yield Chip(name, lambda: bus, settings.chip_address, clock, model)
        return
    with contextlib.closing(lock_chip(settings.bus, settings.chip_address)):
        name = f"{model.name} at {settings.chip_address:#x} on bus {settings.bus}"
        yield Chip(name, partial(open_bus, settings.bus), settings.chip_address, clock, model)


def channels(settings: Ads1115Settings) -> list[Channel]:
    """The sensors that there are, one to four."""
    return [Channel.of(*sensor, MODELS[settings.chip]) for sensor in settings.sensors()]
