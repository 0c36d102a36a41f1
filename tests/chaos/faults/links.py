"""Links that are cut, stalled, slow, or repeat themselves; agents that nobody invited."""

from collections.abc import Generator
from random import Random

from chaos.device import Device
from chaos.plant import Plant

Happening = Generator[None, None, None]


def cut_link(_: Plant, device: Device, __: Random) -> Happening:
    device.tell_network("cut")
    yield


def stall_link(_: Plant, device: Device, __: Random) -> Happening:
    """The present connection stays half open for good; a new one is well."""
    device.tell_network("stall")
    yield


def delay_link(_: Plant, device: Device, dice: Random) -> Happening:
    device.tell_network(f"delay {dice.uniform(0.01, 0.4)}")
    yield
    device.tell_network("delay 0")


def throttle_link(_: Plant, device: Device, dice: Random) -> Happening:
    """To between a fraction and a little more of what the samples need."""
    device.tell_network(f"throttle {dice.uniform(300, 10000)}")
    yield
    device.tell_network("throttle")


def repeat_answers(_: Plant, device: Device, __: Random) -> Happening:
    device.tell_network("repeat on")
    yield
    device.tell_network("repeat off")


def invent_agents(plant: Plant, _: Device, dice: Random) -> Happening:
    """Each has an id of its own, streams one sample and never comes again."""
    plant.network.tell(f"strangers {dice.randint(10, 40)}")
    yield


FAULTS = (cut_link, stall_link, delay_link, throttle_link, repeat_answers, invent_agents)
