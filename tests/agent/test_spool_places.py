"""Directories and files that are removed, replaced, full or read-only under a running spool."""

import contextlib
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.spools import Device, name

from agent.model import Sample
from agent.spool import ledger, register
from agent.spool.account import Fate
from agent.spool.directories import FILE, LOCK
from agent.spool.tier import Tier
from quartet.database import Synchronous
from quartet.errors import StoreError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def directory_of(device: Device, which: str) -> Path:
    return {"hot": device.directories.hot, "cold": device.directories.cold}[which]


def turns(device: Device, clock: ManualClock, number: int) -> list[Sample]:
    samples: list[Sample] = []
    for _ in range(number):
        samples += device.keep(3)
        clock.advance(0.7)
    return samples


# Removed and replaced


def remove_file(directory: Path) -> None:
    for path in directory.glob(f"{FILE}*"):
        path.unlink()


def remove_log(directory: Path) -> None:
    (directory / f"{FILE}-wal").unlink()


def replace_file(directory: Path) -> None:
    remove_file(directory)
    (directory / FILE).write_bytes(b"of somebody else" * 300)


def remove_directory(directory: Path) -> None:
    shutil.rmtree(directory)


def remove_lock(directory: Path) -> None:
    (directory / LOCK).unlink()


WAYS = [remove_file, remove_log, replace_file, remove_directory, remove_lock]


@pytest.mark.parametrize("which", ["hot", "cold"])
@pytest.mark.parametrize("remove", WAYS)
async def test_what_is_removed_is_noticed_within_seconds_and_nothing_is_lost(
    remove: Callable[[Path], None],
    which: str,
    device: Device,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    device.start()
    samples = turns(device, clock, 3)
    directory = directory_of(device, which)
    remove(directory)
    samples += turns(device, clock, 4)
    assert any(str(directory) in each for each in errors(caplog))
    directory.mkdir(exist_ok=True)
    samples += turns(device, clock, 12)
    device.kill()
    device.start()
    assert [*map(name, await device.drain())] == [*map(name, samples)]
    device.close()
    left = device.ledger()
    assert left.balanced
    assert left.sessions[0].answered == len(samples)
    if remove is replace_file:
        aside = directory / "spool.replaced.db"
        assert aside.exists() or which == "hot"


async def test_while_both_directories_are_gone_samples_go_on_and_come_back_with_them(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    samples = turns(device, clock, 6)
    directories = device.directories.hot, device.directories.cold
    for directory in directories:
        shutil.rmtree(directory)
    taken = await device.take(7)
    for sample in taken[:4]:
        device.queue.settle(sample, answered=True)
    samples += turns(device, clock, 5)
    taken += await device.take(100)
    assert taken == samples
    for directory in directories:
        directory.mkdir()
    samples += turns(device, clock, 12)
    device.kill()
    device.start()
    assert [*map(name, await device.drain())] == [*map(name, samples[4:])]
    device.close()
    assert device.ledger().balanced


async def test_a_hot_file_that_is_overwritten_is_given_up_and_its_samples_are_saved(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    device.step()
    device.keep(60_000)
    device.keep(60_000)  # in all, more than fits into SQLite's cache, and into the queue
    for name_ in (FILE, f"{FILE}-wal"):
        path = device.directories.hot / name_
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 8192 * 4096)
            file.write(b"x" * 8192)
    clock.advance(3)
    device.step()
    given = [sample.id for sample in await device.drain()]
    assert given == sorted(set(given))
    assert len(given) > 119_000
    assert [*device.directories.hot.glob("spool.damaged*.db")]
    clock.advance(6)
    await device.drain()
    device.close()
    (entry,) = device.ledger().sessions
    assert (entry.sampled, entry.answered) == (120_000, len(given))
    assert device.ledger().balanced


def look_beside(file: Path) -> None:
    """Another program opens the file, and closes it."""
    look = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA user_version')"
    subprocess.run([sys.executable, "-c", look, file], check=True)


async def test_a_lock_that_is_made_again_leaves_the_file_to_its_owner(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    device.keep(3)
    remove_lock(device.directories.hot)
    clock.advance(1.1)
    device.step()
    assert (device.directories.hot / LOCK).exists()
    look_beside(device.directories.hot / FILE)
    assert (device.directories.hot / f"{FILE}-wal").exists()


# Full, without inodes, read-only


class SmallRam:
    """A file system of its own under a directory."""

    def __init__(self, directory: Path, options: str) -> None:
        self.directory = directory
        self.mount(options)

    def mount(self, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.directory]
        subprocess.run(command, check=True)

    def fill(self) -> None:
        with (
            (self.directory / "filler").open("ab", buffering=0) as filler,
            contextlib.suppress(OSError),
        ):
            while filler.write(b"x" * 4096):
                pass

    def fill_inodes(self) -> None:
        for number in range(1000):
            try:
                (self.directory / f"filler-{number}").touch()
            except OSError:
                return

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", self.directory], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", self.directory], check=True)


@pytest.fixture
def ram(device: Device) -> Iterator[SmallRam]:
    ram = SmallRam(device.directories.hot, "size=192k,nr_inodes=40")
    yield ram
    ram.unmount()


def make_read_only(ram: SmallRam) -> None:
    ram.remount("ro")


@needs_root
@pytest.mark.parametrize("spoil", [SmallRam.fill, SmallRam.fill_inodes, make_read_only])
async def test_a_start_samples_also_where_ram_cannot_be_used_and_then_uses_it(
    spoil: Callable[[SmallRam], None],
    device: Device,
    ram: SmallRam,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "agent.spool")
    spoil(ram)
    device.start()
    samples = turns(device, clock, 5)
    assert len([each for each in errors(caplog) if "is now written to the disk" in each]) == 1
    assert register.read(device.directories.cold / register.FILE) != []
    assert [*map(name, await device.take(99))] == [*map(name, samples)]
    device.queue.rewind()
    ram.remount("rw,size=8m,nr_inodes=400")
    clock.advance(10)
    samples += turns(device, clock, 10)
    assert any("takes the samples again, after " in each.getMessage() for each in caplog.records)
    assert [each.next_id for each in register.read(ram.directory / register.FILE)] == [45]
    assert not (device.directories.cold / register.FILE).exists()
    assert await device.drain() == samples
    device.close()
    assert device.ledger().balanced


@needs_root
async def test_what_lay_in_ram_that_is_full_at_the_next_start_is_sent(
    device: Device,
) -> None:
    device.start()
    samples = device.keep(20)
    device.kill()
    left = {path.name: path.read_bytes() for path in device.directories.hot.iterdir()}
    ram = SmallRam(device.directories.hot, "size=192k")
    try:
        for file, data in left.items():
            (ram.directory / file).write_bytes(data)
        ram.fill()
        device.start()
        samples += device.keep(5)
        assert [*map(name, await device.drain())] == [*map(name, samples)]
        assert device.ledger().balanced
        device.close()
    finally:
        ram.unmount()


async def test_a_hot_file_that_could_not_be_deleted_is_not_believed_later(
    device: Device,
) -> None:
    def read_only(path: Path) -> None:
        if path.parent.name == "hot":
            raise StoreError(f"{path}: cannot be used: read-only file system", path)

    device.start()
    samples = device.keep(10)
    with device.files.meanwhile(before_write=read_only, before_delete=read_only):
        for sample in await device.take(6):
            device.queue.settle(sample, answered=True)
        device.step()
        assert (device.directories.hot / FILE).exists()
        device.kill()
    assert device.ledger().sessions[0].answered == 6
    device.start()
    assert [*map(name, await device.drain())] == [*map(name, samples[6:])]
    device.close()
    assert device.ledger().balanced


# What only ever was in memory


async def test_after_a_kill_the_books_know_each_id_that_was_given(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    device.start()
    device.keep(3)
    device.append(4)
    device.kill()
    (entry,) = device.ledger().sessions
    assert not device.ledger().balanced
    assert (entry.waiting_ids, entry.unbooked_ids) == ([(0, 2)], [(3, 6)])
    for _ in range(2):
        device.start()
        device.step()
        (entry, *_) = device.ledger().sessions
        assert (entry.waiting_ids, entry.fates[Fate.CRASHED].runs) == ([(0, 2)], [(3, 6)])
        assert device.ledger().balanced
        device.kill()
    assert any("4 samples were in memory alone" in each for each in errors(caplog))


async def test_a_session_that_no_tier_was_told_of_is_in_the_books(device: Device) -> None:
    device.start()
    device.append(4)
    device.kill()
    device.start()
    samples = device.keep(2)
    assert await device.drain() == samples
    device.close()
    unknown, known = device.ledger().sessions
    assert unknown.fates[Fate.CRASHED].runs == [(0, 3)]
    assert (known.answered, known.fates) == (2, {})
    assert unknown.sequence < known.sequence
    assert device.ledger().balanced


async def test_while_the_agent_runs_what_is_in_memory_waits(device: Device) -> None:
    device.start()
    device.keep(3)
    device.append(4)
    (entry,) = device.ledger().sessions
    assert (entry.sampled, entry.waiting) == (7, 7)
    assert device.ledger().balanced
    device.close()
    assert not (device.directories.hot / register.FILE).exists()


async def test_while_the_agent_runs_two_sessions_may_be_in_memory(device: Device) -> None:
    device.start()
    device.keep(3)
    device.append(2)
    device.begin_session()  # ids have reached their highest
    device.append(4)
    first, second = device.ledger().sessions
    assert (first.waiting_ids, second.waiting_ids) == ([(0, 4)], [(0, 3)])
    assert device.ledger().balanced
    device.kill()
    assert [each.unbooked_ids for each in device.ledger().sessions] == [[(3, 4)], [(0, 3)]]


async def test_of_an_agent_that_ends_while_the_ledger_is_read_what_was_in_memory_waits(
    device: Device,
) -> None:
    opened: list[Path] = []

    def open_tier(path: Path, synchronous: Synchronous | None) -> Tier:
        opened.append(path)
        if len(opened) == 3:
            device.tiers.close()
        return Tier(path, synchronous)

    device.start()
    device.step()
    device.append(3)
    left = ledger.read(device.directories, open_tier)
    assert (left.balanced, left.sessions[0].waiting) == (True, 3)
    assert not device.ledger().balanced


async def test_while_an_agent_starts_the_ledger_tells_what_it_will_book(device: Device) -> None:
    device.start()
    device.keep(3)
    device.append(4)
    device.kill()
    device.start()
    (entry,) = device.ledger().sessions
    assert entry.fates[Fate.CRASHED].runs == [(3, 6)]
    assert device.ledger().balanced


async def test_a_register_left_on_the_disk_is_no_news_later(device: Device) -> None:
    device.start()
    device.keep(3)
    left = (device.directories.hot / register.FILE).read_bytes()
    device.kill()
    (device.directories.cold / register.FILE).write_bytes(left)
    device.start()
    assert not (device.directories.cold / register.FILE).exists()
    assert len(await device.drain()) == 3
    device.close()


class HalfWritten(type(Path())):  # type: ignore[misc]
    """A file that is being written at the first look."""

    looks = 0

    def read_bytes(self) -> bytes:
        data = bytearray(super().read_bytes())
        type(self).looks += 1
        data[60] ^= type(self).looks == 1
        return bytes(data)


async def test_a_record_that_is_being_written_is_looked_at_again(device: Device) -> None:
    device.start()
    device.append(3)
    (given,) = register.read(HalfWritten(device.directories.hot / register.FILE))
    assert (given.next_id, HalfWritten.looks) == (3, 2)


async def test_a_register_that_is_damaged_is_ignored_and_named(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    device.start()
    device.keep(3)
    device.kill()
    path = device.directories.hot / register.FILE
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    assert f"{path}: is damaged" in device.ledger().ignored[0]
    device.start()
    assert f"{path}: is damaged (its checksum); it is ignored" in caplog.text
    assert len(await device.drain()) == 3
    device.close()
    assert ledger.read(device.directories).balanced
