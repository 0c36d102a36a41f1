"""What each kind of fault does: what is before the yield at its begin, the rest at its end."""

from collections.abc import Callable, Generator
from random import Random

from chaos.device import Device
from chaos.faults import links, processes, spool, store
from chaos.plant import Plant

Happening = Generator[None, None, None]
Doing = Callable[[Plant, Device, Random], Happening]

DOINGS: dict[str, Doing] = {
    doing.__name__.replace("_", "-"): doing
    for module in (processes, links, spool, store)
    for doing in module.FAULTS
}
