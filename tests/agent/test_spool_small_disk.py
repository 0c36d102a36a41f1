"""A spool whose disk or RAM is a small file system: full, read-only, and back."""

import contextlib
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.spools import Device, count, name, rooms, said, waiting

from agent.model import Sample
from agent.spool import ledger
from agent.spool.directories import FILE

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")

DISK_BYTES = 192 * 1024


class SmallDisk:
    """A file system of its own for one of the directories."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._filler = directory / "filler"
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", directory], check=True
        )

    def fill(self, pages_free: int = 0) -> None:
        with (
            self._filler.open("ab", buffering=0) as filler,
            contextlib.suppress(OSError),
        ):
            while filler.write(b"x" * 4096):
                pass
        assert shutil.disk_usage(self._directory).free == 0
        os.truncate(self._filler, self._filler.stat().st_size - 4096 * pages_free)

    def free(self) -> None:
        self._filler.unlink()

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", self._directory], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", self._directory], check=True)


@pytest.fixture
def disk(device: Device) -> Iterator[SmallDisk]:
    """Under the cold directory."""
    disk = SmallDisk(device.directories.cold)
    yield disk
    disk.unmount()


@pytest.fixture
def ram(device: Device) -> Iterator[SmallDisk]:
    """Under the hot directory."""
    ram = SmallDisk(device.directories.hot)
    yield ram
    ram.unmount()


@needs_root
async def test_a_full_disk_is_said_once_and_nothing_is_lost(
    device: Device, disk: SmallDisk, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "agent.spool")
    device.start()
    samples = device.keep(10)
    disk.fill()
    for _ in range(60):
        samples += device.keep(100)
        clock.advance(1)
    assert device.disk_fails
    (message,) = said(caplog, logging.WARNING)
    assert "full" in message
    assert "samples are kept in RAM until it can be written again" in message
    assert count(device.directories.hot) == 6000
    disk.remount(f"size={20 * DISK_BYTES}")
    clock.advance(6)
    device.step()
    assert not device.disk_fails
    assert "can be written again, after " in said(caplog, logging.INFO)[-1]
    assert count(device.directories.hot) == 0
    assert await device.drain() == samples
    device.close()
    assert device.ledger().balanced


@needs_root
async def test_a_disk_that_is_full_at_the_start_delays_only_what_lies_on_it(
    device: Device, disk: SmallDisk, clock: ManualClock
) -> None:
    device.start()
    earlier = device.keep(300)
    device.close()
    disk.fill()
    device.start()
    new = device.keep(20)
    given = await device.drain()
    assert {name(sample) for sample in new} <= {name(sample) for sample in given}
    disk.free()
    clock.advance(6)
    given += await device.drain()
    assert sorted(map(name, given)) == sorted(map(name, earlier + new))
    device.close()
    assert device.ledger().balanced
    assert waiting(device.directories) == set()


@needs_root
@pytest.mark.parametrize("pages_free", range(4))
async def test_the_ledger_is_told_where_a_full_disk_took_no_new_file_for_a_torn_one(
    device: Device, disk: SmallDisk, clock: ManualClock, pages_free: int
) -> None:
    (device.directories.cold / FILE).write_bytes(b"torn" * 2048)
    disk.fill(pages_free)
    device.start()
    device.keep(3)
    # From a copy: beside a log of commits, reading takes a page that this disk may not have.
    (entry,) = ledger.read(device.snapshot()).sessions
    assert (entry.sampled, entry.waiting) == (3, 3)
    disk.free()
    clock.advance(6)
    assert len(await device.drain()) == 3
    device.close()
    assert device.ledger().balanced


@needs_root
async def test_a_disk_that_is_read_only_at_the_start_is_used_once_it_is_not(
    device: Device, disk: SmallDisk, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    device.start()
    earlier = device.keep(10)
    device.close()
    disk.remount("ro")
    device.start()
    new = device.keep(10)
    clock.advance(6)
    new += device.keep(10)
    assert len([each for each in said(caplog, logging.WARNING) if "kept in RAM" in each]) == 1
    taken = await device.take(30)
    assert {name(sample) for sample in new} <= {name(sample) for sample in taken}
    disk.remount("rw")
    clock.advance(6)
    device.step()
    taken += await device.take(30)
    assert sorted(map(name, taken)) == sorted(map(name, earlier + new))
    for sample in taken:
        device.queue.settle(sample, answered=True)
    device.close()
    assert device.ledger().balanced
    places = [entry.started_at_ns for entry in device.ledger().sessions]
    assert len(places) == 2


@needs_root
async def test_after_a_power_cut_and_a_read_only_start_sessions_keep_their_order(
    device: Device, disk: SmallDisk
) -> None:
    samples: list[Sample] = []
    for _ in range(3):
        device.start()
        samples += device.keep(4)
        device.close()
    for path in device.directories.hot.iterdir():
        path.unlink()
    disk.remount("ro")
    device.start()
    samples += device.keep(4)
    disk.remount("rw")
    device.kill()
    device.start()
    given = await device.drain()
    assert [*map(name, given)] == [*map(name, samples)]
    device.close()


@needs_root
async def test_while_the_disk_fails_ram_is_bounded(
    device: Device, disk: SmallDisk, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    device.settings = rooms(ram=500)
    device.start()
    device.keep(1)
    disk.fill()
    in_flight = await device.take(1)
    appended = []
    for _ in range(40):
        appended += device.keep(100)
        clock.advance(1)
        assert count(device.directories.hot) <= 500 + 100
    assert len([each for each in said(caplog, logging.ERROR) if "the spool is full" in each]) == 1
    disk.free()
    disk.remount(f"size={20 * DISK_BYTES}")
    clock.advance(6)
    device.step()
    device.queue.rewind()
    given = await device.drain()
    assert given == in_flight + appended[len(appended) - len(given) + 1 :]
    assert len(given) >= 499
    device.close()
    (entry,) = device.ledger().sessions
    assert entry.difference == 0
    assert sum(ids.count for ids in entry.fates.values()) == 4001 - len(given)


@needs_root
async def test_while_ram_is_full_samples_gather_in_memory_and_a_stop_saves_them(
    device: Device, ram: SmallDisk, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "agent.spool")
    device.start()
    samples = device.keep(10)
    ram.fill()
    for _ in range(20):
        samples += device.keep(200)
        clock.advance(0.1)
    assert len(said(caplog, logging.ERROR)) == 1
    device.queue.close()
    device.step()
    device.keeper.close()
    device.start()
    assert await device.drain() == samples
    device.close()
    assert device.ledger().balanced


@needs_root
async def test_ram_that_has_room_again_is_used_again(
    device: Device, ram: SmallDisk, clock: ManualClock
) -> None:
    device.start()
    samples = device.keep(10)
    ram.fill()
    for _ in range(20):
        samples += device.keep(200)
        clock.advance(0.1)
    ram.remount(f"size={20 * DISK_BYTES}")
    device.step()
    assert await device.drain() == samples
    device.close()
    assert device.ledger().balanced
