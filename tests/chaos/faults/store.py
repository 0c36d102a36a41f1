"""The broker's store: no room, gone, replaced, damaged, and brought back by an operator."""

import functools
import shutil
import time
from collections.abc import Callable, Generator
from random import Random

from chaos import caretaker
from chaos.device import Device
from chaos.disk import flip_bits, spoil_page, whole_files
from chaos.plant import Plant

Happening = Generator[None, None, None]
Doing = Callable[[Plant, Device, Random], Happening]

# In so many cases the operator has a backup of just before.
_PREPARED = 0.5


def fill_brokers_disk(plant: Plant, _: Device, __: Random) -> Happening:
    plant.disk.fill()
    yield
    plant.disk.relieve()


def exhaust_brokers_inodes(plant: Plant, _: Device, __: Random) -> Happening:
    plant.disk.exhaust_inodes()
    yield
    plant.disk.relieve()


def remove_store(plant: Plant, _: Device, dice: Random) -> Happening:
    """All its files, or all but the lock; a backup is restored, or the broker starts with none."""
    backup = caretaker.back_up(plant) if dice.random() < _PREPARED else None
    mark = plant.broker.mark()
    for file in plant.disk.path.glob("broker.db*"):
        if dice.random() < 0.5 or file.suffix != ".lock":
            file.unlink()
    told_ns = caretaker.hear_of_it(plant, mark, "is gone")
    yield
    plant.broker.stop()
    plant.broker.join()
    caretaker.bring_back(plant, backup)
    caretaker.took(plant, backup, told_ns)
    caretaker.start(plant)


def remove_store_log(plant: Plant, _: Device, dice: Random) -> Happening:
    """The file of commits, or that of its index, under a running broker, which mends that."""
    mark = plant.broker.mark()
    for ending in dice.choice((("-wal",), ("-shm",), ("-wal", "-shm"))):
        plant.store.with_name(plant.store.name + ending).unlink(missing_ok=True)
        plant.tell(f"{ending} removed")
    caretaker.hear_of_it(plant, mark, "has lost its log", is_lasting=False)
    yield
    caretaker.put_in_order(plant)


def replace_store(plant: Plant, _: Device, __: Random) -> Happening:
    """An older copy is put in its place under a running broker, beside the log of the newer."""
    backup = caretaker.back_up(plant)
    yield
    if backup is None:
        return
    mark = plant.broker.mark()
    new = plant.store.with_suffix(".new")
    shutil.copyfile(backup.path, new)
    new.replace(plant.store)
    told_ns = caretaker.hear_of_it(plant, mark, "is another one")
    plant.broker.stop()
    plant.broker.join()
    caretaker.bring_back(plant, backup)
    caretaker.took(plant, backup, told_ns)
    caretaker.start(plant)


def damage_store_page(plant: Plant, _: Device, dice: Random) -> Happening:
    """Under a running broker, which may come upon it or not."""
    plant.tell(spoil_page(plant.store, dice))
    yield
    caretaker.put_in_order(plant)


def flip_store_bits(plant: Plant, _: Device, dice: Random) -> Happening:
    """Between two starts; an operator looks after it at once, or the broker finds it."""
    if dice.random() < 0.5:
        plant.broker.stop()
        plant.broker.join()
    else:
        plant.broker.kill()
    if whole := whole_files(plant.store):
        plant.tell(flip_bits(dice.choice(whole), dice))
    if dice.random() < 0.5:
        caretaker.start(plant, may_refuse=True)
    yield
    caretaker.put_in_order(plant)


def restore_backup(plant: Plant, _: Device, dice: Random) -> Happening:
    """Made while the broker runs, and restored when it has recorded more."""
    backup = caretaker.back_up(plant)
    yield
    if dice.random() < 0.5:
        plant.broker.stop()
        plant.broker.join()
    else:
        plant.broker.kill()
    if backup:
        caretaker.bring_back(plant, backup)
        caretaker.took(plant, backup, time.time_ns())
    caretaker.start(plant)


def copy_store_back(plant: Plant, _: Device, __: Random) -> Happening:
    """With cp, of a running broker's file alone, and back beside the log of a killed one."""
    copy = plant.backups / "copy.db"
    shutil.copyfile(plant.store, copy)
    yield
    plant.broker.kill()
    shutil.copyfile(copy, plant.store)
    killed_ns = time.time_ns()
    caretaker.start(plant, may_refuse=True)
    caretaker.put_in_order(plant)
    caretaker.took(plant, None, killed_ns)


def _of_running_broker(doing: Doing) -> Doing:
    """The same, which waits until the broker is up, and lets be where it is not."""

    @functools.wraps(doing)
    def happening(plant: Plant, device: Device, dice: Random) -> Happening:
        if caretaker.is_up(plant):
            yield from doing(plant, device, dice)
        else:
            yield

    return happening


FAULTS = (
    *(fill_brokers_disk, exhaust_brokers_inodes, flip_store_bits),
    *map(
        _of_running_broker,
        (
            *(remove_store, remove_store_log, replace_store),
            *(damage_store_page, restore_backup, copy_store_back),
        ),
    ),
)
