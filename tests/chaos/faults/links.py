"""Links that are cut, stalled, slow, or repeat themselves; agents that nobody invited."""

from collections.abc import Generator
from random import Random

from chaos.device import Device
from chaos.plant import Plant

Happening = Generator[None, None, None]


def cut_link(plant: Plant, device: Device, _: Random) -> Happening:
    plant.tell_network(device, "cut")
    yield


def stall_link(plant: Plant, device: Device, _: Random) -> Happening:
    """The present connection stays half open for good; a new one is well."""
    plant.tell_network(device, "stall")
    yield


def delay_link(plant: Plant, device: Device, dice: Random) -> Happening:
    plant.tell_network(device, f"delay {dice.uniform(0.01, 0.4)}")
    yield
    plant.tell_network(device, "delay 0")


def throttle_link(plant: Plant, device: Device, dice: Random) -> Happening:
    """To between a fraction and a little more of what the samples need."""
    plant.tell_network(device, f"throttle {dice.uniform(300, 10000)}")
    yield
    plant.tell_network(device, "throttle")


def repeat_answers(plant: Plant, device: Device, _: Random) -> Happening:
    plant.tell_network(device, "repeat on")
    yield
    plant.tell_network(device, "repeat off")


def invent_agents(plant: Plant, _: Device, dice: Random) -> Happening:
    """Each has an id of its own, streams one sample and never comes again."""
    plant.network.tell(f"strangers {dice.randint(10, 40)}")
    yield


FAULTS = (cut_link, stall_link, delay_link, throttle_link, repeat_answers, invent_agents)
