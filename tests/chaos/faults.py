"""What each kind of fault does: what is before the yield at its begin, the rest at its end."""

import shutil
import signal
import time
from collections.abc import Callable, Generator
from random import Random

from chaos.disk import damage
from chaos.plant import Plant

Happening = Generator[None, None, None]

_HOUR_S = 3600
_YEAR_2099_S = 4_070_908_800 + 30 * 86400


def kill_agent(plant: Plant, _: Random) -> Happening:
    plant.agent.kill()
    yield
    plant.start_agent()


def stop_agent(plant: Plant, _: Random) -> Happening:
    plant.agent.stop()
    yield
    plant.agent.join()
    plant.start_agent()


def kill_broker(plant: Plant, _: Random) -> Happening:
    plant.broker.kill()
    yield
    plant.broker.start()


def stop_broker(plant: Plant, _: Random) -> Happening:
    plant.broker.stop()
    yield
    plant.broker.join()
    plant.broker.start()


def kill_both(plant: Plant, dice: Random) -> Happening:
    plant.agent.kill()
    plant.broker.kill()
    yield
    for start in dice.sample((plant.start_agent, plant.broker.start), 2):
        start()


def pause_agent(plant: Plant, _: Random) -> Happening:
    plant.agent.signal(signal.SIGSTOP)
    yield
    plant.agent.signal(signal.SIGCONT)


def pause_broker(plant: Plant, _: Random) -> Happening:
    plant.broker.signal(signal.SIGSTOP)
    yield
    plant.broker.signal(signal.SIGCONT)


def cut_power(plant: Plant, _: Random) -> Happening:
    """Of the agent's device: the disk stays, RAM does not."""
    plant.agent.kill()
    plant.remember_ledger()
    shutil.rmtree(plant.hot)
    plant.hot.mkdir()
    yield
    plant.start_agent()


def corrupt_spool(plant: Plant, dice: Random) -> Happening:
    """After a stop there is nothing in the file but accounts, after a kill perhaps all."""
    if dice.random() < 0.3:
        plant.agent.stop()
        plant.agent.join()
    else:
        plant.agent.kill()
    plant.remember_ledger()
    files = sorted(plant.agents_disk.path.glob("spool.db*"))
    whole = [each for each in files if each.stat().st_size and not each.name.endswith("-shm")]
    if whole:
        plant.tell(damage(dice.choice(whole), dice))
    yield
    plant.start_agent()


def cut_link(plant: Plant, _: Random) -> Happening:
    plant.network.tell("cut")
    yield


def stall_link(plant: Plant, _: Random) -> Happening:
    """The present connection stays half open for good; a new one is well."""
    plant.network.tell("stall")
    yield


def delay_link(plant: Plant, dice: Random) -> Happening:
    plant.network.tell(f"delay {dice.uniform(0.01, 0.4)}")
    yield
    plant.network.tell("delay 0")


def throttle_link(plant: Plant, dice: Random) -> Happening:
    """To between a fraction and a little more of what the samples need."""
    plant.network.tell(f"throttle {dice.uniform(500, 20000)}")
    yield
    plant.network.tell("throttle")


def repeat_answers(plant: Plant, _: Random) -> Happening:
    plant.network.tell("repeat on")
    yield
    plant.network.tell("repeat off")


def fill_agents_disk(plant: Plant, _: Random) -> Happening:
    plant.agents_disk.fill()
    yield
    plant.agents_disk.relieve()


def fill_brokers_disk(plant: Plant, _: Random) -> Happening:
    plant.brokers_disk.fill()
    yield
    plant.brokers_disk.relieve()


def step_clock(plant: Plant, dice: Random) -> Happening:
    """The agent's, for good: an hour to and fro, to 1970, to 2099, and back."""
    now_s = int(time.time())
    plant.set_clock(dice.choice((0, _HOUR_S, -_HOUR_S, _HOUR_S - now_s, _YEAR_2099_S - now_s)))
    yield


DOINGS: dict[str, Callable[[Plant, Random], Happening]] = {
    doing.__name__.replace("_", "-"): doing
    for doing in (
        *(kill_agent, stop_agent, kill_broker, stop_broker, kill_both, pause_agent, pause_broker),
        *(cut_power, corrupt_spool, cut_link, stall_link, delay_link, throttle_link),
        *(repeat_answers, fill_agents_disk, fill_brokers_disk, step_clock),
    )
}
