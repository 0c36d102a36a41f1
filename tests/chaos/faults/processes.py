"""Processes that die, freeze and stop, a power cut, a clock that steps."""

import signal
import time
from collections.abc import Generator
from random import Random

from chaos.device import Device
from chaos.plant import Plant

Happening = Generator[None, None, None]

_HOUR_S = 3600
_YEAR_2099_S = 4_070_908_800 + 30 * 86400


def kill_agent(_: Plant, device: Device, __: Random) -> Happening:
    device.agent.kill()
    yield
    device.start()


def stop_agent(_: Plant, device: Device, __: Random) -> Happening:
    device.agent.stop()
    yield
    device.agent.join()
    device.start()


def kill_broker(plant: Plant, _: Device, __: Random) -> Happening:
    plant.broker.kill()
    yield
    plant.broker.start()


def stop_broker(plant: Plant, _: Device, __: Random) -> Happening:
    plant.broker.stop()
    yield
    plant.broker.join()
    plant.broker.start()


def kill_both(plant: Plant, device: Device, dice: Random) -> Happening:
    device.agent.kill()
    plant.broker.kill()
    yield
    for start in dice.sample((device.start, plant.broker.start), 2):
        start()


def pause_agent(_: Plant, device: Device, __: Random) -> Happening:
    device.agent.signal(signal.SIGSTOP)
    yield
    device.agent.signal(signal.SIGCONT)


def pause_broker(plant: Plant, _: Device, __: Random) -> Happening:
    plant.broker.signal(signal.SIGSTOP)
    yield
    plant.broker.signal(signal.SIGCONT)


def cut_power(_: Plant, device: Device, __: Random) -> Happening:
    """Of the agent's device: the disk stays, RAM does not."""
    device.agent.kill()
    device.remember_ledger()
    device.hot.remove()
    device.hot.put_back()
    yield
    device.start()


def step_clock(_: Plant, device: Device, dice: Random) -> Happening:
    """The agent's, for good: an hour to and fro, to 1970, to 2099, and back."""
    now_s = int(time.time())
    device.set_clock(dice.choice((0, _HOUR_S, -_HOUR_S, _HOUR_S - now_s, _YEAR_2099_S - now_s)))
    yield


FAULTS = (
    *(kill_agent, stop_agent, kill_broker, stop_broker, kill_both, pause_agent, pause_broker),
    *(cut_power, step_clock),
)
