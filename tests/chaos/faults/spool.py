"""An agent's two directories: full, gone, read-only, and with files that are not its own."""

import re
import shutil
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from random import Random

from agent.spool.directories import FILE
from agent.spool.register import FILE as REGISTER
from chaos.device import Device
from chaos.disk import Disk, damage, flip_bits, whole_files
from chaos.plant import Plant
from chaos.times import LONGEST_SILENCE_S

Happening = Generator[None, None, None]

# With its spool open, an agent has a link, or says that it has none.
_IS_UP = "streaming to|no link"

_TROUBLE = " (?:WARNING|ERROR) .*"


def corrupt_spool(plant: Plant, device: Device, dice: Random) -> Happening:
    """After a stop there is nothing in the file but accounts, after a kill perhaps all."""
    yield from _spoil_between_starts(plant, device, dice, (device.cold,), damage)


def flip_spool_bits(plant: Plant, device: Device, dice: Random) -> Happening:
    """In a file of either directory."""
    yield from _spoil_between_starts(plant, device, dice, (device.cold, device.hot), flip_bits)


def _spoil_between_starts(
    plant: Plant,
    device: Device,
    dice: Random,
    disks: tuple[Disk, ...],
    spoil: Callable[..., str],
) -> Happening:
    if dice.random() < 0.3:
        device.agent.stop()
        device.agent.join()
    else:
        device.agent.kill()
    device.remember_ledger()
    if whole := [file for disk in disks for file in whole_files(disk.path / FILE)]:
        plant.tell(spoil(dice.choice(whole), dice))
    yield
    device.start()


def fill_hot_directory(_: Plant, device: Device, __: Random) -> Happening:
    """Somebody else takes the last byte of the tmpfs."""
    yield from _no_room(device, (device.hot,), Disk.fill)


def exhaust_hot_inodes(_: Plant, device: Device, __: Random) -> Happening:
    yield from _no_room(device, (device.hot,), Disk.exhaust_inodes)


def fill_agents_disk(_: Plant, device: Device, __: Random) -> Happening:
    yield from _no_room(device, (device.cold,), Disk.fill)


def exhaust_agents_inodes(_: Plant, device: Device, __: Random) -> Happening:
    yield from _no_room(device, (device.cold,), Disk.exhaust_inodes)


def fill_both_directories(_: Plant, device: Device, __: Random) -> Happening:
    """What is sampled now is in memory alone, and in the books once one has room again."""
    yield from _no_room(device, (device.hot, device.cold), Disk.fill)


def _no_room(
    device: Device, disks: tuple[Disk, ...], take_room: Callable[[Disk], None]
) -> Happening:
    """The agent may be killed meanwhile: what it had taken must be somewhere."""
    device.robbed = True
    for disk in disks:
        take_room(disk)
    yield
    for disk in disks:
        disk.relieve()


def empty_hot_directory(_: Plant, device: Device, __: Random) -> Happening:
    """A clean-up of /run takes the files, under a running agent."""
    yield from _vanish(device, device.hot, Disk.empty)


def remove_hot_directory(_: Plant, device: Device, __: Random) -> Happening:
    yield from _vanish(device, device.hot, Disk.remove)


def empty_agents_disk(_: Plant, device: Device, __: Random) -> Happening:
    yield from _vanish(device, device.cold, Disk.empty)


def remove_agents_disk(_: Plant, device: Device, __: Random) -> Happening:
    yield from _vanish(device, device.cold, Disk.remove)


def remove_both_directories(_: Plant, device: Device, __: Random) -> Happening:
    expected = _Word(device, device.cold, "is gone")
    with _frozen(device):
        device.hot.remove()
        device.cold.remove()
    expected.must_come()
    yield
    device.hot.put_back()
    device.cold.put_back()


def _vanish(device: Device, disk: Disk, take: Callable[[Disk], None]) -> Happening:
    expected = _Word(device, disk, "is gone")
    with _frozen(device):
        take(disk)
    expected.must_come()
    yield
    disk.put_back()


def replace_spool(_: Plant, device: Device, __: Random) -> Happening:
    """A copy of the files on the disk is put back over them by renaming, as rsync does."""
    copy = device.home / "copy"
    if device.agent.runs:
        device.agent.comes_up(_IS_UP)
    shutil.copytree(device.cold.path, copy, dirs_exist_ok=True)
    yield
    expected = _Word(device, device.cold, "is another one")
    files = whole_files(copy / FILE)  # none, where another fault had taken them
    with _frozen(device):
        for file in files:
            new = device.cold.path / f"{file.name}.new"
            shutil.copyfile(file, new)
            new.replace(device.cold.path / file.name)
    shutil.rmtree(copy)
    if files:
        expected.must_come()


def remount_hot_read_only(_: Plant, device: Device, dice: Random) -> Happening:
    yield from _read_only(device, device.hot, dice)


def remount_agents_disk_read_only(_: Plant, device: Device, dice: Random) -> Happening:
    yield from _read_only(device, device.cold, dice)


def _read_only(device: Device, disk: Disk, dice: Random) -> Happening:
    """An agent starts on it, and comes to its end or not before it can be written again."""
    device.robbed = True
    device.agent.kill()
    disk.set_read_only(True)
    device.start()
    yield
    if dice.random() < 0.3:
        device.agent.kill()
        disk.set_read_only(False)
        device.start()
    else:
        disk.set_read_only(False)


@contextmanager
def _frozen(device: Device) -> Iterator[None]:
    """Nothing is written while its files are taken; what its books knew is remembered."""
    device.agent.signal(signal.SIGSTOP)
    device.remember_ledger()
    try:
        yield
    finally:
        device.agent.signal(signal.SIGCONT)


class _Word:
    """What the running agent must say of a directory, from now on."""

    def __init__(self, device: Device, disk: Disk, what: str) -> None:
        self._device = device
        self._path = str(disk.path)
        self._what = what
        is_up = device.agent.runs and device.agent.comes_up(_IS_UP)
        self._mark = device.agent.mark() if is_up else None
        # A directory that it does not use now, and has said so, cannot fail once more.
        # The register in it may be used alone.
        last = device.agent.last_word(f"{self._path}(?!/{REGISTER})") if self._mark else ""
        self._is_out_of_use = _is_trouble(last)

    def must_come(self) -> None:
        """Complain where it does not within seconds."""
        if self._mark is None or self._is_out_of_use:
            return
        if not self._device.agent.says(_TROUBLE + self._path, self._mark, LONGEST_SILENCE_S):
            self._device.complain(
                f"agent {self._mark.starts} has not said within {LONGEST_SILENCE_S:g} s that"
                f" {self._path} {self._what}"
            )


def _is_trouble(line: str) -> bool:
    return re.search(_TROUBLE, line) is not None


FAULTS = (
    *(corrupt_spool, flip_spool_bits, fill_hot_directory, exhaust_hot_inodes, fill_agents_disk),
    *(exhaust_agents_inodes, fill_both_directories, empty_hot_directory, remove_hot_directory),
    *(empty_agents_disk, remove_agents_disk, remove_both_directories, replace_spool),
    *(remount_hot_read_only, remount_agents_disk_read_only),
)
