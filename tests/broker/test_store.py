"""Lines on a store: what survives the broker, what a failed commit takes along."""

import asyncio
import contextlib
import logging
import os
import sqlite3
import struct
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chain import Chain, Forgetful
from support.store import (
    ManualClock,
    expected,
    full_disk,
    header,
    killed_copy,
    lines_in,
    sample,
    select,
    send,
)

from broker.errors import ExpiredError, RaisedError, RecordError
from broker.line import REMEMBERED_ANSWERS, SNAPSHOT_EVERY
from broker.lines import Lines
from broker.model import Answer, Sample
from broker.predictors import Predictor
from broker.recorder import Batch
from broker.recorder.commands import rebase
from broker.recorder.schema import MIGRATIONS
from broker.recorder.store import Keeping, Store
from broker.recorder.tables import Tables
from quartet.errors import NewerSchemaError, StoreError

many = settings(derandomize=True, deadline=None, max_examples=25)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "broker.db"


# Restored lines


async def test_a_black_box_that_exits_while_it_is_restored_ends_one_stream(path: Path) -> None:
    with lines_in(path, Chain) as lines:
        await send(lines, range(5))

    def leave() -> Chain:
        raise SystemExit("no licence")

    with lines_in(path, leave) as lines:
        answers, refusal = await send(lines, range(5, 9))
        assert answers == []
        assert isinstance(refusal, RaisedError)
        assert refusal.sample_id == 5


async def test_the_records_are_read_for_one_line_at_a_time(path: Path) -> None:
    agents = [f"a{number}" for number in range(20)]
    with lines_in(path, Chain) as lines:
        for agent in agents:
            await send(lines, range(5), agent=agent)
    with lines_in(path, Chain) as lines:
        history = lines._restorer._history  # type: ignore[union-attr]  # noqa: SLF001
        look, most, under_way = history.samples, 0, 0

        async def watched(line: int, after: int) -> Sequence[tuple[int, Sample]]:
            nonlocal most, under_way
            under_way += 1
            most = max(most, under_way)
            found = await look(line, after)
            under_way -= 1
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(history, "samples", watched)
            await asyncio.gather(*(send(lines, range(5, 9), agent=agent) for agent in agents))
        assert most == 1


@many
@given(
    st.sampled_from([Chain, Forgetful]),
    st.lists(
        st.tuples(
            st.integers(0, 1), st.integers(1, 60), st.integers(0, 40), st.booleans(), st.booleans()
        ),
        max_size=10,
    ),
)
async def test_a_line_goes_on_after_any_death_as_if_there_had_been_none(
    make: Callable[[], Predictor], script: list[tuple[int, int, int, bool, bool]]
) -> None:
    """Two sessions of an agent take turns; each resends some of its last."""
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory() as folder,
        contextlib.ExitStack() as stack,
    ):
        patch.setattr("broker.line.SNAPSHOT_EVERY", 25)
        path = Path(folder, "0.db")
        broker = stack.enter_context(contextlib.ExitStack())
        lines = broker.enter_context(lines_in(path, make))
        box = make()
        settled = {0: 0, 1: 0}
        answered: dict[int, list[Answer]] = {0: [], 1: []}
        for number, (session, count, lost, restarts, orderly) in enumerate(script, 1):
            first = max(0, settled[session] - lost)
            ids = range(first, settled[session] + count)
            answers, refusal = await send(lines, ids, session)
            assert refusal is None
            answered[session] += expected(box, ids[settled[session] - first :])
            assert answers == answered[session][first:]
            settled[session] += count
            if restarts:
                if not orderly:
                    path = killed_copy(path, Path(folder, f"{number}.db"))
                broker.close()
                lines = broker.enter_context(lines_in(path, make))


async def test_without_snapshots_the_configured_number_of_samples_is_replayed(path: Path) -> None:
    keeping = Keeping(replay=30)
    with lines_in(path, Forgetful, keeping=keeping) as lines:
        await send(lines, range(100))
    box = Forgetful()
    expected(box, range(70, 100))
    with lines_in(path, Forgetful, keeping=keeping) as lines:
        assert (await send(lines, range(100, 120)))[0] == expected(box, range(100, 120))


async def test_a_snapshot_is_taken_every_so_many_samples_with_the_rows_up_to_it(path: Path) -> None:
    with lines_in(path, Chain) as lines:
        for first in range(0, 3 * SNAPSHOT_EVERY, 700):
            await send(lines, range(first, first + 700))
    ((position, state),) = select(path, "SELECT position, state FROM snapshots")
    assert position == 3 * SNAPSHOT_EVERY
    box = Chain()
    expected(box, range(3 * SNAPSHOT_EVERY))
    assert state == box.state


async def test_what_was_replayed_counts_towards_the_next_snapshot(path: Path) -> None:
    for first in range(0, SNAPSHOT_EVERY, SNAPSHOT_EVERY // 4):
        with lines_in(path, Chain) as lines:
            await send(lines, range(first, first + SNAPSHOT_EVERY // 4))
    assert select(path, "SELECT position FROM snapshots") == [(SNAPSHOT_EVERY,)]


class Counting(Chain):
    """Counts how many samples it was given itself."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def predict(self, sample: Sample) -> bool:
        self.count += 1
        return super().predict(sample)


async def test_a_snapshot_spares_the_replay_of_what_it_has_seen(path: Path) -> None:
    made: list[Counting] = []

    def make() -> Counting:
        made.append(Counting())
        return made[-1]

    for first in (0, SNAPSHOT_EVERY + 5):
        with lines_in(path, make) as lines:
            await send(lines, range(first, SNAPSHOT_EVERY + 5 + first))
    assert made[-1].count == 5 + SNAPSHOT_EVERY + 5


async def test_a_snapshot_of_another_black_box_is_not_restored_and_that_is_said(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with lines_in(path, Chain, digest="old") as lines:
        await send(lines, range(SNAPSHOT_EVERY + 10))
    box = Forgetful()
    expected(box, range(SNAPSHOT_EVERY - 20, SNAPSHOT_EVERY + 10))
    with lines_in(path, Chain, digest="new", keeping=Keeping(replay=30)) as lines:
        ids = range(SNAPSHOT_EVERY + 10, SNAPSHOT_EVERY + 20)
        assert (await send(lines, ids))[0] == expected(box, ids)
    assert "a: its snapshot is of another black box" in caplog.text
    assert select(path, "SELECT * FROM snapshots") == []
    assert select(path, "SELECT digest FROM sessions") == [("new",)]


class Refusing(Chain):
    def restore(self, _: bytes) -> None:
        raise ValueError("not mine")


async def test_a_black_box_that_refuses_its_snapshot_begins_anew_and_is_replayed(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    count = SNAPSHOT_EVERY + 10
    with lines_in(path, Refusing) as lines:
        await send(lines, range(count))
    box = Refusing()
    expected(box, range(count))
    with lines_in(path, Refusing) as lines:
        ids = range(count, count + 20)
        assert (await send(lines, ids))[0] == expected(box, ids)
    assert "refuses its snapshot (ValueError: not mine)" in caplog.text


class Bulky(Chain):
    def snapshot(self) -> bytes:
        return bytes(2 << 20)


class Mute(Chain):
    def snapshot(self) -> bytes:
        raise OSError("no pen")


class Stringly(Chain):
    def snapshot(self) -> bytes:
        return "state"  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("make", "reason"),
    [(Bulky, "2097152 bytes"), (Mute, "OSError: no pen"), (Stringly, "returned str, not bytes")],
)
async def test_a_snapshot_that_fails_is_said_once_and_the_line_lives_on_its_records(
    make: type[Chain], reason: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    count = 3 * SNAPSHOT_EVERY
    with lines_in(path, Chain) as lines:
        await send(lines, range(SNAPSHOT_EVERY))
    with lines_in(path, make) as lines:
        await send(lines, range(SNAPSHOT_EVERY, count))
        await send(lines, range(count, count + 10))
    assert [reason in record.getMessage() for record in caplog.records] == [True]
    assert select(path, "SELECT * FROM snapshots") == []  # the old one would need all rows since
    box = Chain()
    expected(box, range(count + 10))
    with lines_in(path, make) as lines:
        ids = range(count + 10, count + 30)
        assert (await send(lines, ids))[0] == expected(box, ids)


async def test_a_sample_that_raises_only_when_replayed_is_passed_over(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Picky(Forgetful):
        def predict(self, sample: Sample) -> bool:
            if sample.id in {3, 7}:
                raise ArithmeticError("new code")
            return super().predict(sample)

    with lines_in(path, Forgetful) as lines:
        await send(lines, range(10))
    box = Forgetful()
    expected(box, [8, 9])
    with lines_in(path, Picky) as lines:
        assert (await send(lines, range(10, 30)))[0] == expected(box, range(10, 30))
    said = [record.getMessage() for record in caplog.records]
    assert [message for message in said if "on the recorded sample 3" in message] == said


async def test_after_a_raise_the_black_box_is_rebuilt_from_its_records(path: Path) -> None:
    bad_ids = {5}

    class Touchy(Chain):
        def predict(self, sample: Sample) -> bool:
            if sample.id in bad_ids:
                self.state = b"spoilt"
                raise ArithmeticError
            return super().predict(sample)

    box = Chain()
    with lines_in(path, Touchy) as lines:
        answers, refusal = await send(lines, range(8))
        assert isinstance(refusal, RaisedError)
        assert answers == expected(box, range(5))
        bad_ids.clear()
        assert (await send(lines, range(5, 8)))[0] == expected(box, range(5, 8))
    assert select(path, "SELECT received, answered, refused FROM sessions") == [(9, 8, 1)]


async def test_a_black_box_that_cannot_be_made_for_its_replay_refuses_until_it_can(
    path: Path,
) -> None:
    with lines_in(path, Chain) as lines:
        await send(lines, range(3))
    makes = iter([OSError("model.bin is gone"), None])

    def make() -> Chain:
        if error := next(makes):
            raise error
        return Chain()

    box = Chain()
    expected(box, range(3))
    with lines_in(path, make) as lines:
        answers, refusal = await send(lines, [2, 3])
        assert answers == expected(Chain(), range(3))[2:]
        assert isinstance(refusal, RaisedError)
        assert refusal.sample_id == 3
        assert "OSError: model.bin is gone" in str(refusal)
        assert (await send(lines, range(3, 20)))[0] == expected(box, range(3, 20))


async def test_streams_that_meet_in_a_restore_share_it_and_the_newest_wins(path: Path) -> None:
    made = []

    def make() -> Chain:
        made.append(Chain())
        return made[-1]

    with lines_in(path, make) as lines:
        await send(lines, range(500))
    made.clear()
    with lines_in(path, make) as lines:
        streams = await asyncio.gather(*(lines.open(header(500, n)) for n in range(5)))
        assert [stream.superseded_by for stream in streams] == [
            *(f"{n:032x}" for n in range(1, 5)),
            None,
        ]
        tasks = [asyncio.create_task(stream.answer([sample(500)])) for stream in streams]
        await asyncio.sleep(0)
        tasks[0].cancel()  # whoever began the restore may leave
        await asyncio.gather(*tasks, return_exceptions=True)
        box = Chain()
        expected(box, range(500))
        assert [task.result()[0][0] for task in tasks[1:]] == expected(box, [500] * 4)
        answers, _ = await send(lines, range(500, 520), session=4)
        assert answers[1:] == expected(box, range(501, 520))
    assert len(made) == 1


async def test_a_stream_whose_session_is_looked_up_does_not_win_over_one_that_came_later(
    path: Path,
) -> None:
    with lines_in(path, Chain) as lines:
        await send(lines, [0], session=1)
        older, newer = await asyncio.gather(
            lines.open(header(0, session=2)), lines.open(header(1, session=1))
        )
    assert (older.superseded_by, newer.superseded_by) == (f"{1:032x}", None)


async def test_a_long_replay_leaves_the_other_lines_their_turn(path: Path) -> None:
    slow_s = 0.001

    class Slow(Forgetful):
        def predict(self, sample: Sample) -> bool:
            end_s = asyncio.get_running_loop().time() + slow_s * (sample.id < 400)
            while asyncio.get_running_loop().time() < end_s:
                pass
            return super().predict(sample)

    with lines_in(path, Slow) as lines:
        for agent in "abc":
            await send(lines, range(400), agent=agent)
    with lines_in(path, Slow) as lines:
        restores = [asyncio.create_task(send(lines, [400], agent=agent)) for agent in "abc"]
        others = 0
        while not all(restore.done() for restore in restores):
            _, refusal = await send(lines, [1000 + others], agent="live")
            assert refusal is None
            others += 1
    assert others > 20  # 1.2 s of replay, in slices of 5 ms


# What is recorded


async def test_every_sample_is_recorded_in_the_order_of_the_black_box(path: Path) -> None:
    clock = ManualClock(wall_s=1.7e9)
    now_ns = clock.time_ns()
    with lines_in(path, Chain, clock=clock) as lines:
        paced = header(5, 1, at_ns=1000, period_ns=10)
        with await lines.open(paced, "ipv4:1.2.3.4:5") as stream:
            await stream.answer([sample(5), sample(7)])
        with await lines.open(header(0, 2, at_ns=77)) as stream:
            await stream.answer([Sample(0, (float("nan"), float("inf"), 0.1, -0.0)), sample(1)])
        with await lines.open(None, "unix:") as stream:
            await stream.answer([sample(-3), sample(-3)])
    rows = select(
        path,
        "SELECT position, agent_id, sessions.id, samples.id, sampled_at_ns, arrived_at_ns"
        " FROM samples JOIN sessions USING (session) JOIN lines ON lines.line = samples.line"
        " ORDER BY position",
    )
    one, two = f"{1:032x}", f"{2:032x}"
    assert rows == [
        (1, "a", one, 5, 1000, now_ns),
        (2, "a", one, 7, 1020, now_ns),
        (3, "a", two, 0, 77, now_ns),
        (4, "a", two, 1, now_ns, now_ns),
        (5, None, None, -3, now_ns, now_ns),
        (6, None, None, -3, now_ns, now_ns),
    ]
    ((sensors,),) = select(path, "SELECT sensors FROM samples WHERE position = 3")
    assert str(struct.unpack("<4f", sensors)) == "(nan, inf, 0.10000000149011612, -0.0)"
    answers = [p for (p,) in select(path, "SELECT prediction FROM samples WHERE line = 1")]
    box = Chain()
    wanted = [box.predict(sample(5)), box.predict(sample(7))]
    assert answers[:2] == wanted
    assert select(path, "SELECT peer FROM lines ORDER BY line") == [("ipv4:1.2.3.4:5",), ("unix:",)]
    assert select(path, "SELECT first, last FROM gaps") == [(6, 6)]


async def test_a_time_beyond_what_can_be_stored_is_the_last_that_can(path: Path) -> None:
    last_ns = 2**63 - 1
    with lines_in(path, Chain) as lines:
        endless = header(at_ns=last_ns, period_ns=last_ns)
        with await lines.open(endless) as stream:
            _, refusal = await stream.answer([sample(0), sample(2**31 - 1)])
    assert refusal is None
    assert select(path, "SELECT sampled_at_ns FROM samples") == [(last_ns,), (last_ns,)]


async def test_a_stream_that_sends_nothing_leaves_no_row(path: Path) -> None:
    with lines_in(path, Chain) as lines:
        for opened in (header(), None):
            with await lines.open(opened) as stream:
                assert await stream.answer([]) == ([], None)
    assert select(path, "SELECT line FROM lines UNION ALL SELECT line FROM samples") == []
    assert select(path, "SELECT * FROM sessions") == []


async def test_what_is_resent_is_found_in_the_records_and_never_computed_again(path: Path) -> None:
    count = 3 * REMEMBERED_ANSWERS
    with lines_in(path, Chain) as lines:
        first, _ = await send(lines, range(count))
        assert (await send(lines, range(count)))[0] == first
    with lines_in(path, Chain) as lines:
        assert (await send(lines, range(10, count)))[0] == first[10:]
    assert select(path, "SELECT count(*) FROM samples") == [(count,)]
    assert select(path, "SELECT received, duplicates FROM sessions") == [
        (3 * count - 10, 2 * count - 10)
    ]


async def test_the_last_id_outlives_its_answers_and_its_place_in_memory(path: Path) -> None:
    with lines_in(path, Chain) as lines:
        await send(lines, range(10))
        for session in range(1, 10):
            await send(lines, [0], session)
        _, refusal = await send(lines, [8, 9, 10])
        assert refusal is None
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM samples WHERE id < 10")
    with lines_in(path, Chain) as lines:
        answers, refusal = await send(lines, [9, 10])
        assert isinstance(refusal, ExpiredError)
        assert (answers, refusal.sample_id) == ([], 9)
        answers, refusal = await send(lines, [10, 11])
        assert ([each.id for each in answers], refusal) == ([10, 11], None)


async def test_a_refused_sample_and_an_expired_answer_are_counted(path: Path) -> None:
    with lines_in(path, Chain) as lines:
        await send(lines, [0, 1, 5, 5])
        await send(lines, [3])
    assert select(
        path,
        "SELECT received, answered, duplicates, refused, gaps, first_id, last_id FROM sessions",
    ) == [(5, 3, 1, 1, 3, 0, 5)]


async def test_the_sessions_of_a_line_and_their_named_gaps_are_bounded(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.recorder.tables.MOST_SESSIONS", 3)
    monkeypatch.setattr("broker.recorder.tables._MOST_GAPS", 4)
    with lines_in(path, Chain) as lines:
        for session in range(6):
            await send(lines, range(0, 6, 2), session)
            await send(lines, range(6, 18, 3), session)
        box = Chain()
        for _ in range(6):
            expected(box, [0, 2, 4, 6, 9, 12, 15])
    assert select(path, "SELECT session, gaps FROM sessions") == [(n, 9) for n in (4, 5, 6)]
    named = select(path, "SELECT session, count(*) FROM gaps GROUP BY session")
    assert named == [(n, 4) for n in (4, 5, 6)]
    with lines_in(path, Chain) as lines:  # their samples are still the line's
        assert (await send(lines, range(20), 7))[0] == expected(box, range(20))


# Commits


@contextlib.contextmanager
def busy(path: Path) -> Iterator[None]:
    """Somebody else writes to the store: no commit is done."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


async def test_an_answer_leaves_when_its_record_is_committed(path: Path) -> None:
    with lines_in(path, Chain) as lines, await lines.open(header()) as stream:
        await stream.answer([sample(0)])
        with busy(path):
            answering = asyncio.create_task(stream.answer([sample(1)]))
            resent = asyncio.create_task(send(lines, [0, 1]))
            assert not (await asyncio.wait([answering, resent], timeout=0.2))[0]
            assert select(path, "SELECT id FROM samples") == [(0,)]
        answers, _ = await answering
        assert (await resent)[0][1:] == answers
    assert select(path, "SELECT id FROM samples") == [(0,), (1,)]


async def test_all_that_gathers_during_a_commit_goes_into_the_next(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = []
    write = Tables.write

    def counting(tables: Tables, batches: list[Batch]) -> None:
        commits.append(len(batches))
        write(tables, batches)

    monkeypatch.setattr("broker.recorder.tables.Tables.write", counting)
    with lines_in(path, Chain) as lines:
        streams = [await lines.open(header(agent=f"a{n}")) for n in range(50)]
        await asyncio.gather(*(stream.answer([sample(0)]) for stream in streams))  # restores
        commits.clear()
        with busy(path):
            answering = [asyncio.create_task(stream.answer([sample(1)])) for stream in streams]
            assert not (await asyncio.wait(answering, timeout=0.2))[0]
        await asyncio.gather(*answering)
    assert sum(commits) == 50
    assert len(commits) <= 2


async def test_a_failed_commit_ends_its_streams_and_the_line_goes_back_to_its_records(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    box = Chain()
    with lines_in(path, Chain) as lines:
        assert (await send(lines, range(5)))[0] == expected(box, range(5))
        with await lines.open(header(5)) as stream, full_disk(path):
            for id_ in (5, 6):  # the second rests on the first, which was lost
                with pytest.raises(RecordError, match="the broker cannot record samples: "):
                    await stream.answer([sample(id_)])
            with pytest.raises(RecordError):
                await send(lines, [5])
        with pytest.raises(RecordError):
            await stream.answer([sample(7)])
        assert (await send(lines, range(3, 8)))[0][2:] == expected(box, range(5, 8))
    assert select(path, "SELECT id FROM samples") == [(n,) for n in range(8)]
    said = [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if "cannot be recorded" in record.getMessage()
    ]
    assert [level for level, _ in said] == ["ERROR", "DEBUG", "INFO"]
    assert said[-1][1].startswith("over after 0.")


async def test_a_line_without_a_share_in_a_failed_commit_does_not_notice(path: Path) -> None:
    box = Chain()
    with lines_in(path, Chain) as lines, await lines.open(header(agent="other")) as other:
        assert (await other.answer([sample(0)]))[0] == expected(box, [0])
        with full_disk(path), pytest.raises(RecordError):
            await send(lines, [0])
        assert (await other.answer([sample(1)]))[0] == expected(box, [1])


@many
@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=12))
async def test_no_failed_commit_is_seen_in_what_follows(script: list[tuple[int, bool]]) -> None:
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder, lines_in(Path(folder, "s.db"), Chain) as lines:
        box, next_id = Chain(), 0
        await send(lines, [0], agent="other")
        for count, fails in script:
            ids = range(next_id, next_id + count)
            with full_disk(Path(folder, "s.db")) if fails else contextlib.nullcontext():
                try:
                    answers, _ = await send(lines, ids)
                except RecordError:
                    assert fails
                    continue
            assert answers == expected(box, ids)
            next_id += count
    logging.disable(logging.NOTSET)


# Files that are none of ours, and others that are


def refusal(path: Path) -> str:
    with pytest.raises(StoreError) as raised, Store(path, "d", Keeping()):
        pass
    return str(raised.value)


def test_a_store_has_one_owner_who_is_named(path: Path) -> None:
    with Store(path, "d", Keeping()):
        assert f"is in use by process {os.getpid()}" in refusal(path)
    with Store(path, "d", Keeping()):
        pass


def test_a_store_says_how_many_migrations_it_has_seen(path: Path) -> None:
    with Store(path, "d", Keeping()):
        pass
    assert select(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]


def test_a_store_of_a_newer_version_is_refused_and_not_touched(path: Path) -> None:
    with Store(path, "d", Keeping()):
        pass
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = path.read_bytes()
    with pytest.raises(NewerSchemaError), Store(path, "d", Keeping()):
        pass
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_not_touched(path: Path) -> None:
    path.write_bytes(b"my holiday pictures\n" * 1000)
    before = path.read_bytes()
    assert "move it aside" in refusal(path)
    assert path.read_bytes() == before


def test_a_database_of_something_else_is_refused_and_not_touched(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE pictures (name)")
    before = path.read_bytes()
    assert "is a database, and not one of the broker" in refusal(path)
    assert path.read_bytes() == before


def test_a_place_where_no_store_can_be_is_named(tmp_path: Path) -> None:
    assert "there is no directory" in refusal(tmp_path / "none" / "broker.db")
    assert "cannot be" in refusal(tmp_path)
    assert "cannot be written" in refusal(Path("/proc/broker.db"))


def damage(path: Path) -> None:
    """Overwrite all but the first page."""
    path.write_bytes(path.read_bytes()[:4096].ljust(path.stat().st_size, b"\xa5"))


async def test_a_damaged_page_is_a_refusal_and_no_crash(path: Path) -> None:
    with lines_in(path, Chain) as lines:
        await send(lines, range(2000))
    damage(path)
    with contextlib.suppress(StoreError), lines_in(path, Chain) as lines:
        with pytest.raises(RecordError):
            await send(lines, [2000])
        with pytest.raises(RecordError):
            await send(lines, [0], agent="other")


# Commands


async def is_heard(lines: Lines) -> None:
    """Return when the broker has heard of a command to line a, which takes it a second."""
    recorder = lines._recorder  # noqa: SLF001
    async with asyncio.timeout(10):
        while not recorder.rebase("a"):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("make", [Chain, Forgetful])
async def test_a_rebased_line_begins_anew_and_stays_so_after_any_death(
    make: type[Forgetful], path: Path, tmp_path: Path
) -> None:
    with lines_in(path, make) as lines:
        await send(lines, range(SNAPSHOT_EVERY + 5))
        with await lines.open(header(SNAPSHOT_EVERY + 5)) as stream:
            await stream.answer([sample(SNAPSHOT_EVERY + 5)])
            rebase(path, "a")
            await is_heard(lines)
            box, ids = make(), range(SNAPSHOT_EVERY + 6, SNAPSHOT_EVERY + 9)
            answers, _ = await stream.answer([sample(id_) for id_ in ids])
            assert answers == expected(box, ids)
            ids = range(SNAPSHOT_EVERY + 9, SNAPSHOT_EVERY + 30)
            assert (await send(lines, ids))[0] == expected(box, ids)
        copy = killed_copy(path, tmp_path / "killed.db")
    assert select(path, "SELECT position FROM commands") == [(SNAPSHOT_EVERY + 6,)]
    with lines_in(copy, make) as lines:
        ids = range(SNAPSHOT_EVERY + 30, SNAPSHOT_EVERY + 40)
        assert (await send(lines, ids))[0] == expected(box, ids)


async def test_no_snapshot_from_before_a_command_is_restored_by_whatever_black_box(
    path: Path,
) -> None:
    with lines_in(path, Chain, digest="d1") as lines:
        await send(lines, range(SNAPSHOT_EVERY + 5))
    with lines_in(path, Forgetful, digest="d2") as lines:
        rebase(path, "a")
        await is_heard(lines)
        await send(lines, range(SNAPSHOT_EVERY + 5, SNAPSHOT_EVERY + 9))
    box = Chain()
    expected(box, range(SNAPSHOT_EVERY + 5, SNAPSHOT_EVERY + 9))
    with lines_in(path, Chain, digest="d1") as lines:
        ids = range(SNAPSHOT_EVERY + 9, SNAPSHOT_EVERY + 19)
        assert (await send(lines, ids))[0] == expected(box, ids)


async def test_a_command_for_a_line_waits_for_its_next_sample(path: Path) -> None:
    with lines_in(path, Chain) as lines:
        await send(lines, range(10))
        await send(lines, range(10), agent="b")
    rebase(path, "a")
    rebase(path, "a")
    box_b = Chain()
    expected(box_b, range(10))
    with lines_in(path, Chain) as lines:
        await is_heard(lines)
        ids = range(10, 30)
        assert (await send(lines, ids))[0] == expected(Chain(), ids)
        assert (await send(lines, ids, agent="b"))[0] == expected(box_b, ids)
    assert select(path, "SELECT command, position FROM commands") == [(2, 20)]


async def test_a_command_during_a_restore_makes_what_is_replayed_void(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.recorder.thread._TICK_S", 0.01)
    slow = True

    class Slow(Forgetful):
        def predict(self, sample: Sample) -> bool:
            end_s = time.monotonic() + 0.001 * (slow and sample.id < 500)
            while time.monotonic() < end_s:
                pass
            return super().predict(sample)

    with lines_in(path, Forgetful) as lines:
        await send(lines, range(500))
    box = Forgetful()
    with lines_in(path, Slow) as lines:
        restored = asyncio.create_task(send(lines, [500]))
        await asyncio.sleep(0.1)
        rebase(path, "a")
        await is_heard(lines)
        assert not restored.done()
        assert (await send(lines, [500]))[0] == (first := expected(box, [500]))
        assert (await restored)[0] == first
        assert (await send(lines, range(501, 520)))[0] == expected(box, range(501, 520))
        slow = False


async def test_a_command_is_followed_once_whoever_streams(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.lines._MOST_LINES", 1)
    with lines_in(path, Chain) as lines:
        await send(lines, range(10))
        rebase(path, "a")
        await is_heard(lines)
        box, ids = Chain(), range(10, 30)
        with await lines.open(header(10)) as older, await lines.open(header(10, 1)) as newer:
            both = await asyncio.gather(
                *(stream.answer([sample(id_) for id_ in ids]) for stream in (older, newer))
            )
        assert [answers for answers, _ in both] == [expected(box, ids), expected(box, ids)]
        await send(lines, [0], agent="b")  # in place of line a, which is read again
        assert (await send(lines, range(30, 50)))[0] == expected(box, range(30, 50))


async def test_a_stream_that_comes_after_the_stop_is_refused_and_does_not_wait(path: Path) -> None:
    with lines_in(path, Chain) as lines:
        stream = await lines.open(header())
    with pytest.raises(RecordError, match="the recorder is closed"):
        await stream.answer([sample(0)])
    with pytest.raises(RecordError, match="the recorder is closed"):
        await lines.open(header(agent="b"))
