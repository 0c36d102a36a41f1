"""Copies of a store that were made and put back by hand."""

import asyncio
import itertools
import os
import random
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from support.chain import Chain
from support.store import lines_in, samples, select, send

from broker.__main__ import main
from broker.recorder.sqlite.upkeep import SqliteUpkeep
from quartet.errors import StoreError

LOGS = ("", "-wal", ".lock")


def raw_copy(path: Path, to: Path) -> Path:
    to.mkdir()
    for companion in LOGS:
        if Path(f"{path}{companion}").exists():
            shutil.copyfile(f"{path}{companion}", to / f"{path.name}{companion}")
    return to


def back_alone(copy: Path, to: Path) -> None:
    """`cp broker.db back`, beside the log that lies there."""
    shutil.copyfile(copy / to.name, to)


def back_with_its_times(copy: Path, to: Path) -> None:
    """The same with `cp -p`."""
    shutil.copy2(copy / to.name, to)


def back_moved(copy: Path, to: Path) -> None:
    shutil.copy2(copy / to.name, to.with_name("new"))
    to.with_name("new").rename(to)


def back_without_log(copy: Path, to: Path) -> None:
    Path(f"{to}-wal").unlink()
    shutil.copyfile(copy / to.name, to)


def back_with_its_log(copy: Path, to: Path) -> None:
    for companion in ("", "-wal"):
        shutil.copyfile(copy / f"{to.name}{companion}", f"{to}{companion}")


def only_its_log(copy: Path, to: Path) -> None:
    shutil.copyfile(copy / f"{to.name}-wal", f"{to}-wal")


BACK = [
    *(back_alone, back_with_its_times, back_moved),
    *(back_without_log, back_with_its_log, only_its_log),
]


class LateClock:
    """An hour behind that of the files: nobody puts a copy back within seconds, as a test does."""

    def monotonic(self) -> float:
        return time.monotonic()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def time_ns(self) -> int:
        return time.time_ns() - 3600 * 10**9


class History(NamedTuple):
    """A store with what has become of it."""

    copies: list[Path]
    """At any time of its two runs."""
    killed: Path
    truth: list[tuple[object, ...]]
    """All of its samples."""


@pytest.fixture(scope="module", params=range(3))
def history(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> History:
    """So many commits that the log is written into the file once or twice in each run."""
    dice = random.Random(request.param)  # noqa: S311
    place = tmp_path_factory.mktemp("history")
    path = place / "broker.db"
    copies: list[Path] = []

    async def live() -> None:
        next_id = 0
        for run in range(2):
            at = {dice.randrange(350) for _ in range(2)}
            with lines_in(path, Chain, snapshot_every=50, clock=LateClock()) as lines:
                for turn in range(350):
                    count = dice.randrange(1, 6)
                    await send(lines, range(next_id, next_id + count))
                    next_id += count
                    if turn in at:
                        copies.append(raw_copy(path, place / f"copy-{run}-{turn}"))
                raw_copy(path, place / f"killed-{run}")

    asyncio.run(live())
    return History(copies, place / "killed-1", samples(path))


@pytest.mark.parametrize("back", BACK)
def test_a_copy_that_is_put_back_by_hand_is_refused_or_is_what_was_recorded(
    back: Callable[[Path, Path], None], history: History, tmp_path: Path
) -> None:
    for number, copy in enumerate(history.copies):
        put_back(back, copy, tmp_path / str(number), history)


def test_a_file_and_a_log_that_were_copied_one_after_the_other_are_refused_or_are_one(
    history: History, tmp_path: Path
) -> None:
    for number, (one, two) in enumerate(itertools.permutations(history.copies, 2)):

        def back(copy: Path, to: Path, log: Path = two) -> None:
            back_alone(copy, to)
            only_its_log(log, to)

        put_back(back, one, tmp_path / str(number), history)


@pytest.mark.parametrize("command", [["ledger"], ["rebase", "a"], ["store", "check"]])
def test_who_reads_or_commands_refuses_the_log_of_another_run_as_a_broker_does(
    command: list[str], history: History, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "here" / "broker.db"
    shutil.copytree(history.killed, path.parent)
    back_alone(history.copies[0], path)
    files = [path, Path(f"{path}-wal")]
    before = [each.read_bytes() for each in files]
    assert main([*command, "--store", str(path)]) == 1
    said = capsys.readouterr()
    assert "the log beside it is not its own (broker.db-wal)" in said.out + said.err
    assert [each.read_bytes() for each in files] == before


def test_a_log_without_its_file_is_refused_and_kept(history: History, tmp_path: Path) -> None:
    path = tmp_path / "here" / "broker.db"
    shutil.copytree(history.killed, path.parent)
    path.unlink()
    log = Path(f"{path}-wal").read_bytes()
    for _ in range(2):
        with pytest.raises(StoreError, match="is gone, but its log of commits is still there"):
            lines_in(path, Chain).__enter__()
        assert Path(f"{path}-wal").read_bytes() == log


@pytest.mark.parametrize("at", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("is_same_boot", [True, False])
def test_a_log_that_is_damaged_is_not_taken_for_a_shorter_one(
    at: float, is_same_boot: bool, path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with lines_in(path, Chain, snapshot_every=20) as lines:
        for first in range(0, 400, 10):
            asyncio.run(send(lines, range(first, first + 10)))
        truth = samples(path)
        path = raw_copy(path, tmp_path / "killed") / path.name
    log = Path(f"{path}-wal")
    data = bytearray(log.read_bytes())
    data[20 + int(at * len(data))] ^= 1
    log.write_bytes(data)
    lock = Path(f"{path}.lock")
    if not is_same_boot:
        lock.write_text(re.sub("boot .*", f"boot {0:036}", lock.read_text()))
    ((problem),) = SqliteUpkeep(path).check().problems
    assert "the log of commits is damaged: " in str(problem)
    if is_same_boot:
        with pytest.raises(StoreError, match="broker store repair"):
            lines_in(path, Chain).__enter__()
        done = SqliteUpkeep(path).repair()
        if at:
            assert (done.losses, samples(path)) == ([], truth)
        assert SqliteUpkeep(path).check().problems == []
    else:
        with lines_in(path, Chain):
            assert "as after a power cut" in caplog.text
        assert samples(path) == truth[: len(samples(path))]


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_a_store_that_nobody_touched_is_opened_without_a_look_at_all_of_it(
    end: str, path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with lines_in(path, Chain) as lines:
        asyncio.run(send(lines, range(300)))
        killed = raw_copy(path, tmp_path / "killed") / path.name
    for suffix in ("", "-wal"):  # as they were written, and not as they were copied
        os.utime(f"{killed}{suffix}", ns=(time.time_ns(), time.time_ns()))
    with caplog.at_level("INFO"), lines_in(path if end == "stopped" else killed, Chain):
        pass
    assert "all of it is checked" not in caplog.text
    if end == "stopped":
        select(path, "UPDATE sessions SET digest = 'd2'")
        with caplog.at_level("INFO"), lines_in(path, Chain):
            pass
        assert "all of it is checked" in caplog.text


def put_back(back: Callable[[Path, Path], None], copy: Path, place: Path, history: History) -> None:
    """Put a copy over the killed store, and start a broker."""
    shutil.copytree(history.killed, place)
    path = place / "broker.db"
    later = Path(f"{path}-wal").stat().st_mtime_ns
    while time.time_ns() < later + 20_000_000:  # the clock of files moves in ticks
        os.sched_yield()
    back(copy, path)
    files = [each for each in (path, Path(f"{path}-wal")) if each.exists()]
    before = [each.read_bytes() for each in files]
    refusal = ""
    try:
        with lines_in(path, Chain):
            pass
    except StoreError as error:
        refusal = str(error)
    if refusal:
        assert "broker store restore" in refusal
        assert [each.read_bytes() for each in files] == before
    else:
        found = SqliteUpkeep(path).check()
        assert found.problems == []
        assert samples(path) == history.truth[: found.samples]
