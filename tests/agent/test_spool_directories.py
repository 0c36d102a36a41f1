"""Which directories a spool takes, and what it writes there."""

import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.spools import Device, count, home_in_ram, rooms

from agent.model import Sample
from agent.spool.books import Books
from agent.spool.directories import Directories
from agent.spool.tiers import Tiers
from quartet.errors import StoreError

# Directories that cannot be used


AS_NOBODY = """
import os, sys
from pathlib import Path
from agent.spool.books import Books
from agent.spool.directories import Directories
from agent.spool.tiers import Tiers
from quartet.errors import StoreError
if os.geteuid() == 0:
    os.setuid(65534)
try:
    Tiers(Directories(Path(sys.argv[1]), Path(sys.argv[2])), Books(), list)
except StoreError as error:
    print(error)
"""


def open_tiers(directories: Directories) -> Tiers:
    return Tiers(directories, Books(), list)


@pytest.mark.parametrize(
    ("which", "setting"), [("hot", "spool.hot_directory"), ("cold", "spool.directory")]
)
class TestDirectories:
    def directories(self, home: Path) -> Directories:
        directories = Directories(home / "hot", home / "cold")
        directories.hot.mkdir()
        directories.cold.mkdir()
        return directories

    def test_one_that_is_missing_is_refused(self, which: str, setting: str, tmp_path: Path) -> None:
        directories = self.directories(tmp_path)
        (tmp_path / which).rmdir()
        with pytest.raises(StoreError) as raised:
            open_tiers(directories)
        assert str(raised.value).startswith(
            f"{setting}: {tmp_path / which} is not a directory: create it with 'sudo"
            " install -d -o $USER"
        )

    def test_one_that_is_a_file_is_refused(self, which: str, setting: str, tmp_path: Path) -> None:
        directories = self.directories(tmp_path)
        (tmp_path / which).rmdir()
        (tmp_path / which).touch()
        with pytest.raises(StoreError, match=f"{setting}: .* is not a directory"):
            open_tiers(directories)

    def test_one_of_a_running_agent_is_refused_with_its_process(
        self, which: str, setting: str, tmp_path: Path
    ) -> None:
        assert setting.startswith("spool.")
        directories = self.directories(tmp_path)
        hold = (
            "import sys; from pathlib import Path; from quartet.lock import FileLock;"
            "lock = FileLock(Path(sys.argv[1])); print(1, flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", hold, tmp_path / which / "spool.lock"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as owner:
            assert owner.stdout
            owner.stdout.readline()
            with pytest.raises(StoreError, match=f"{which}: is in use by process {owner.pid} "):
                open_tiers(directories)
            owner.kill()
        open_tiers(directories).close()

    def test_one_that_may_not_be_written_is_refused(self, which: str, setting: str) -> None:
        with home_in_ram() as home:
            home.chmod(0o755)
            directories = self.directories(home)
            for directory in (directories.hot, directories.cold):
                directory.chmod(0o555 if directory.name == which else 0o777)
            tried = subprocess.run(
                [sys.executable, "-c", AS_NOBODY, directories.hot, directories.cold],
                capture_output=True,
                text=True,
                check=False,
            )
            assert tried.stdout == (
                f"{setting}: {home / which} cannot be written: Permission denied\n"
            ), tried.stderr


# What is written to the disk


def open_files(home: Path) -> list[str]:
    links = [link for link in Path("/proc/self/fd").iterdir() if link.exists()]
    targets = [link.readlink() for link in links]
    return [target.name for target in targets if target.is_relative_to(home)]


async def test_after_a_stop_no_file_is_open_and_no_log_left(device: Device) -> None:
    for _ in range(2):
        device.start()
        device.keep(5)
        assert open_files(device.home)
        device.close()
        assert open_files(device.home) == []
        for directory in (device.directories.hot, device.directories.cold):
            assert sorted(path.name for path in directory.iterdir()) == ["spool.db", "spool.lock"]


def written(directory: Path) -> dict[str, tuple[int, int]]:
    """When each file was written last, and its size."""
    return {
        path.name: (path.stat().st_mtime_ns, path.stat().st_size) for path in directory.iterdir()
    }


@pytest.mark.parametrize("rate_hz", [0.2, 1, 10, 1000])
@pytest.mark.parametrize("answered_after_s", [0.0, 1.2])
async def test_while_the_link_is_healthy_nothing_is_written_per_sample(
    rate_hz: float, answered_after_s: float, device: Device, clock: ManualClock
) -> None:
    device.start()
    device.keep(1)
    await device.drain()
    clock.advance(10)
    device.step()
    clock.advance(10)
    device.step()
    under_way: deque[tuple[int, Sample]] = deque()
    end_ns = clock.monotonic_ns() + round(min(300, 1_500 / rate_hz) * 1e9)
    next_ns = tick_ns = clock.monotonic_ns()
    before, writes = written(device.directories.cold), 0
    while clock.monotonic_ns() < end_ns:
        clock.now_s = min(next_ns, tick_ns, *(at_ns for at_ns, _ in list(under_way)[:1])) / 1e9
        while under_way and under_way[0][0] <= clock.monotonic_ns():
            device.queue.settle(under_way.popleft()[1], answered=True)
        if next_ns <= clock.monotonic_ns():
            device.append(1)
            next_ns += round(1e9 / rate_hz)
        elif tick_ns > clock.monotonic_ns():
            continue
        device.step()
        tick_ns = clock.monotonic_ns() + 10**9
        answered_at_ns = clock.monotonic_ns() + round(answered_after_s * 1e9)
        under_way += [(answered_at_ns, sample) for sample in await device.take(512)]
        if (now := written(device.directories.cold)) != before:
            before, writes = now, writes + 1
    assert writes == 0
    device.close()


async def test_what_waits_long_is_on_the_disk_when_the_power_goes(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    samples = device.keep(5)
    clock.advance(2.1)
    device.step()
    assert count(device.directories.hot) == 0
    device.keep(5)
    device.cut_power()
    device.start()
    assert await device.drain() == samples
    device.close()
    (entry,) = device.ledger().sessions
    assert entry.power_lost
    assert (entry.sampled, entry.answered, entry.difference) == (5, 5, 0)


@pytest.mark.parametrize("spill_after_s", [0.1, 2.0, 60.0])
async def test_a_sample_is_carried_to_the_disk_at_its_age_and_not_before(
    spill_after_s: float, device: Device, clock: ManualClock
) -> None:
    device.settings = rooms(spill_after_s=spill_after_s)
    device.start()
    device.keep(1)
    for sample in await device.take(1):
        device.queue.settle(sample, answered=True)
    device.step()
    clock.advance(100)
    device.step()
    device.keep(1)
    clock.advance(0.7 * spill_after_s)
    device.step()
    assert count(device.directories.hot) == 1
    clock.advance(0.31 * spill_after_s)
    device.step()
    assert count(device.directories.hot) == 0
    assert count(device.directories.cold) == 1
    device.close()


async def test_in_a_durable_spool_each_sample_is_on_the_disk_before_it_is_given(
    device: Device,
) -> None:
    device.settings = rooms(durability="disk")
    device.start()
    for _ in range(5):
        (sample,) = device.keep(1)
        assert count(device.directories.cold) >= 1
        assert await device.take(9) == [sample]
    device.cut_power()
    device.start()
    assert len(await device.drain()) == 5
    device.close()


async def test_a_backlog_is_deleted_from_the_disk_in_few_commits(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    device.keep(20_000)
    device.close()
    device.start()
    device.step()
    before, writes, given = written(device.directories.cold), 0, 0
    while given < 20_000:
        taken = await device.take(100)
        given += len(taken)
        for sample in taken:
            device.queue.settle(sample, answered=True)
        clock.advance(0.01)
        device.step()
        if (now := written(device.directories.cold)) != before:
            before, writes = now, writes + 1
    assert writes <= 8
    device.close()
    assert count(device.directories.cold) == 0
