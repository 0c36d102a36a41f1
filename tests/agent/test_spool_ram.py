"""RAM that is full, without inodes or read-only at a start of a spool."""

import contextlib
import logging
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.spools import Device, errors, name, turns

from agent.spool import register
from agent.spool.directories import FILE
from quartet.errors import StoreError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")


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
