"""Directories and files that are removed or replaced under a running spool."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.spools import Device, errors, name, turns

from agent.spool.directories import FILE, LOCK


def directory_of(device: Device, which: str) -> Path:
    return {"hot": device.directories.hot, "cold": device.directories.cold}[which]


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
