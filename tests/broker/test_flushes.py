"""The log of commits, flushed and saved by the recorder's thread, and what that costs commits."""

import errno
import threading
from pathlib import Path

import pytest
from support.patience import PATIENCE_S
from support.store import header
from support.turns import LOOP, THREAD, Rig, ids, opened, save, turns, until

from broker.errors import RecordError
from quartet.errors import DamagedError


async def fill(rig: Rig) -> None:
    """Record until the log is long, and no more: the thread comes when it can."""
    while not rig.recorder._condition.store.checkpoints.is_due():  # noqa: SLF001
        await rig.record()


async def commit_on(rig: Rig) -> None:
    while True:
        await rig.commit()


def move(path: Path, to: Path) -> Path:
    return path.rename(to)


def size(path: Path) -> int:
    """Of the log of commits."""
    return Path(f"{path}-wal").stat().st_size


async def test_a_log_that_was_saved_meanwhile_is_not_begun_again_on_the_loop(path: Path) -> None:
    async with opened(path) as rig:
        checkpoints = rig.recorder._condition.store.checkpoints  # noqa: SLF001
        takes = checkpoints.takes_commits

        def saved_behind() -> bool:
            answer = takes()
            save(path)
            return answer

        checkpoints.takes_commits = saved_behind  # type: ignore[method-assign]
        assert await rig.commit() == THREAD
        checkpoints.takes_commits = takes  # type: ignore[method-assign]
        assert await rig.commit() == LOOP
    assert ids(path) == [0, 1, 2]


async def test_a_file_that_cannot_be_flushed_is_damaged(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as rig:
        checkpoints = rig.recorder._condition.store.checkpoints  # noqa: SLF001

        def flush(descriptor: int) -> None:
            if descriptor == checkpoints._file:  # noqa: SLF001
                raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr("broker.recorder.sqlite.checkpoints._flush", flush)
        with pytest.raises(RecordError, match="the file cannot be flushed: Input/output error"):
            await commit_on(rig)
        assert "broker store repair" in rig.recorder.trouble


async def test_a_file_that_is_moved_away_is_damaged_if_it_could_not_be_flushed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as rig:
        condition = rig.recorder._condition  # noqa: SLF001
        file = condition.store.checkpoints._file  # noqa: SLF001

        def flush(descriptor: int) -> None:
            if descriptor == file:
                condition.trouble = "was moved away"  # as the loop sees meanwhile
                raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr("broker.recorder.sqlite.checkpoints._flush", flush)
        with pytest.raises(RecordError):
            await commit_on(rig)
        await until(lambda: "broker store repair" in rig.recorder.trouble)


async def test_the_log_is_saved_and_begun_again_on_the_thread(path: Path) -> None:
    async with opened(path) as rig:
        assert await rig.commit() == LOOP
        save(path)
        assert [await rig.commit(), await rig.commit()] == [THREAD, LOOP]


async def test_commits_on_the_loop_leave_a_short_log(path: Path) -> None:
    async with opened(path) as rig:
        for _ in range(1500):
            rig.clock.advance(0.01)
            await rig.commit()
        assert rig.by.count(LOOP) > 1400
        assert size(path) < 2000 * 4120  # twice what SQLite itself lets it grow to
    assert ids(path) == list(range(1501))


async def test_the_log_is_saved_also_where_old_samples_cannot_be_deleted(path: Path) -> None:
    def fail(_: int) -> bool:
        raise OSError("no space")

    async with opened(path) as rig:
        rig.recorder._condition.store.retention.step = fail  # type: ignore[method-assign] # noqa: SLF001
        for _ in range(1500):
            rig.clock.advance(0.01)
            await rig.commit()
        assert size(path) < 2000 * 4120


async def test_checkpoints_lie_apart_unless_the_log_is_long(path: Path) -> None:
    async with opened(path) as rig:
        for _ in range(500):
            await rig.commit()
        begun = size(path)
        assert 1000 * 4120 < begun < 2000 * 4120
        for _ in range(500):  # the clock stands still
            await rig.commit()
        assert size(path) > 1.5 * begun
        for _ in range(1500):
            await rig.commit()
        assert size(path) < 6000 * 4120


class Flush:
    """A flush of the log that takes until it is told to end."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._ends = threading.Event()
        self._has_begun = threading.Event()
        rig.recorder._condition.store.checkpoints.flush = self._flush  # type: ignore[method-assign] # noqa: SLF001

    def _flush(self) -> None:
        self._has_begun.set()
        self._ends.wait(PATIENCE_S)

    async def begin(self) -> None:
        """Fill the log until it is flushed."""
        await fill(self._rig)
        await until(self._has_begun.is_set)

    def end(self) -> None:
        self._ends.set()


async def test_commits_go_on_beside_a_copy_and_leave_little_for_the_turn(path: Path) -> None:
    async with opened(path) as rig:
        checkpoints = rig.recorder._condition.store.checkpoints  # noqa: SLF001
        copy, copied, ends, left = checkpoints.copy, threading.Event(), threading.Event(), []

        def hold() -> None:
            copied.set()
            ends.wait(PATIENCE_S)
            left.append(checkpoints.unsaved())
            copy()
            left.append(checkpoints.unsaved())

        checkpoints.copy = hold  # type: ignore[method-assign]
        while not checkpoints.is_long():
            await rig.record()
        await until(copied.is_set)
        before = len(rig.by)
        await rig.record()
        assert rig.by[before:] == [LOOP]
        ends.set()
        await rig.rest()
        assert left[0] > 1000
        assert left[1] == 0


async def test_each_log_is_flushed_in_small_parts(path: Path) -> None:
    async with opened(path) as rig:
        checkpoints = rig.recorder._condition.store.checkpoints  # noqa: SLF001
        flush, sizes = checkpoints.flush, []

        def note() -> None:
            sizes.append(checkpoints.unsaved())
            flush()

        checkpoints.flush = note  # type: ignore[method-assign]
        for _ in range(1000):
            rig.clock.advance(0.01)
            await rig.commit()
        assert len(sizes) >= 6
        assert sizes[0] < 600
        assert max(sizes) < 1600


async def test_a_flush_takes_no_turn_at_the_store(path: Path) -> None:
    async with opened(path) as rig:
        await rig.rest()
        flush, rounds = Flush(rig), len(rig.by)
        looks = rig.recorder._condition.look  # noqa: SLF001
        seen: list[None] = []

        def look() -> str:
            seen.append(None)
            return looks()

        rig.recorder._condition.look = look  # type: ignore[method-assign] # noqa: SLF001
        await flush.begin()
        flush.end()
        await rig.rest()
        assert len(rig.by) - rounds > 100
        assert seen == []


async def test_the_log_is_flushed_before_the_turn_and_commits_go_on(path: Path) -> None:
    async with opened(path) as rig:
        flush = Flush(rig)
        await flush.begin()
        before = len(rig.by)
        await rig.record()
        assert rig.by[before:] == [LOOP]
        assert rig.recorder.trouble == ""
        flush.end()


async def test_a_flush_that_stalls_is_told_and_nothing_is_written_beside_it(path: Path) -> None:
    async with opened(path) as rig:
        flush = Flush(rig)
        await flush.begin()
        rig.clock.advance(2.1)
        assert "no sample is recorded or answered" in rig.recorder.trouble
        before = len(rig.by)
        waiting = rig.record()
        await turns()
        assert rig.by[before:] == []
        flush.end()
        await waiting
        assert rig.by[before:] == [THREAD]
        assert await rig.commit() == LOOP
        assert rig.recorder.trouble == ""


async def test_what_came_before_a_flush_does_not_wait_for_its_end(path: Path) -> None:
    async with opened(path) as rig:
        flush = Flush(rig)
        store = rig.recorder._condition.store  # noqa: SLF001
        step, is_held, released = store.retention.step, threading.Event(), threading.Event()

        def hold(rows: int) -> bool:
            if store.checkpoints.is_due():
                is_held.set()
                released.wait(PATIENCE_S)
            return step(rows)

        store.retention.step = hold  # type: ignore[method-assign]
        await rig.rest()
        rig.clock.advance(3601)  # the thread has more to do than to flush
        await fill(rig)
        await until(is_held.is_set)
        last = rig.record()
        await turns()
        released.set()
        await last
        assert rig.by[-1] == LOOP
        flush.end()


async def test_a_flush_that_takes_long_lets_the_log_grow_to_a_bound(path: Path) -> None:
    async with opened(path) as rig:
        flush = Flush(rig)
        await flush.begin()
        by_loop = len(rig.by) - 1
        while len(rig.by) > by_loop:
            by_loop = len(rig.by)
            waiting = rig.record()
            await turns()
            assert size(path) < 6100 * 4120
        assert size(path) > 5900 * 4120
        flush.end()
        await waiting
        assert await rig.commit() == LOOP


async def test_a_store_that_comes_back_after_a_flush_is_used_again(path: Path) -> None:
    async with opened(path) as rig:
        flush = Flush(rig)
        await flush.begin()
        checkpoints, copies = rig.recorder._condition.store.checkpoints, []  # noqa: SLF001
        checkpoints.copy = lambda: copies.append(None)  # type: ignore[method-assign]
        while not checkpoints.is_long():
            await rig.record()
        away = move(path, path.with_name("away.db"))
        with pytest.raises(RecordError, match="was moved away"):
            await rig.record()
        flush.end()
        await rig.rest()
        assert copies == []
        move(away, path)
        rig.claim = await rig.recorder.claim(header(), "1.2.3.4:5")
        await rig.record()


@pytest.mark.parametrize("parts", [("flush",), ("copy", "step")])
async def test_a_log_that_cannot_be_saved_grows_and_is_told_once(
    path: Path,
    parts: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise OSError("the medium has an error")

    def told(text: str) -> int:
        return sum(text in each.getMessage() for each in caplog.records if each.levelno > 10)

    caplog.set_level("INFO")
    async with opened(path) as rig:
        checkpoints = rig.recorder._condition.store.checkpoints  # noqa: SLF001
        with monkeypatch.context() as broken:
            for part in parts:
                broken.setattr(checkpoints, part, fail)
            while checkpoints.unsaved() < 1100:
                assert await rig.commit() == LOOP
            await rig.rest()
            assert told("grows, and cannot be brought into the file: the medium has an error") == 1
        assert await rig.commit() == LOOP
        await rig.rest()
        assert checkpoints.unsaved() == 0
        assert told("is brought into the file again") == 1


async def test_damage_that_a_checkpoint_meets_is_told_with_the_turn(path: Path) -> None:
    def fail() -> None:
        raise DamagedError("the log is torn")

    had_turn: list[bool] = []
    async with opened(path) as rig:
        condition = rig.recorder._condition  # noqa: SLF001
        met = condition.met

        def meet(error: Exception) -> bool:
            had_turn.append(rig.recorder._turns._turn.locked())  # noqa: SLF001
            return met(error)

        condition.met = meet  # type: ignore[method-assign]
        condition.store.checkpoints.step = fail  # type: ignore[method-assign]
        with pytest.raises(RecordError, match="the log is torn"):
            await commit_on(rig)
        assert had_turn == [True]
