"""Rows that are not what was written: told, and never answered or restored as if they were."""

import contextlib
import itertools
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chain import Chain, Forgetful
from support.store import change, expected, lines_in, sample, select, send, send_on

from broker.errors import RecordError
from broker.model import Code
from broker.predictors import Predictor
from broker.recorder.reader import Span
from broker.recorder.sqlite.checksums import (
    sample_checksum,
    sample_verifies,
    snapshot_checksum,
    snapshot_verifies,
)
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.reader import SqliteReader
from broker.recorder.sqlite.recorder import SqliteRecorder
from broker.recorder.sqlite.schema import check_kind
from quartet.errors import DamagedError, StoreError

AGENTS = "abc"
COUNT = 300
"""Samples of each agent before the damage."""
RESENT = 30
MORE = 40

many = settings(derandomize=True, deadline=None, max_examples=200)


# Checksums

integers = st.integers(-(2**63), 2**63 - 1)


@many
@given(
    st.tuples(
        *[integers] * 4, st.binary(min_size=16, max_size=16), *[integers] * 2, st.integers(0, 1)
    ),
    st.integers(0, 7),
    st.integers(0, 62),
)
def test_a_sample_verifies_until_one_bit_of_one_column_is_another(
    row: tuple[int, int, int, int, bytes, int, int, int], column: int, bit: int
) -> None:
    checksum = sample_checksum(*row)
    assert sample_verifies((*row, checksum))
    assert sample_verifies((*row, None))
    changed: list[object] = [*row]
    if column == 4:
        sensors = bytearray(row[4])
        sensors[bit // 8] ^= 1 << bit % 8
        changed[4] = bytes(sensors)
    else:
        changed[column] = row[column] ^ 1 << bit
    assert not sample_verifies((*changed, checksum))


@pytest.mark.parametrize("sensors", [None, "x" * 16, b"", bytes(15), bytes(17), 7])
def test_a_sample_without_four_values_never_verifies(sensors: object) -> None:
    assert not sample_verifies((1, 1, 1, 0, sensors, 0, 0, 0, None))


@pytest.mark.parametrize("value", [None, "1", 1.5, b"1"])
def test_a_sample_with_something_else_in_the_place_of_a_number_never_verifies(
    value: object,
) -> None:
    assert not sample_verifies((1, 1, 1, value, bytes(16), 0, 0, 0, None))


@many
@given(
    st.tuples(
        integers, integers, st.binary(max_size=9), st.none() | st.binary(max_size=9), integers
    ),
    st.tuples(
        integers, integers, st.binary(max_size=9), st.none() | st.binary(max_size=9), integers
    ),
)
def test_a_snapshot_verifies_as_what_it_was_alone(
    row: tuple[int, int, bytes, bytes | None, int], other: tuple[int, int, bytes, bytes | None, int]
) -> None:
    checksum = snapshot_checksum(*row)
    assert snapshot_verifies((*row, checksum))
    assert snapshot_verifies((*other, checksum)) == (row == other)


# Rows of a store


async def filled(path: Path, make: Callable[[], Predictor], **bounds: int) -> None:
    """A store of agents whose samples arrived in turn, and of a plain peer."""
    with lines_in(path, make, **bounds) as lines:
        for first in range(0, COUNT, 50):
            for agent in AGENTS:
                await send(lines, range(first, first + 50), agent=agent)
            with await lines.open(None) as stream:
                await send_on(stream, [sample(id_) for id_ in range(20)])


async def wrong_answers(path: Path, make: Callable[[], Predictor], **bounds: int) -> list[str]:
    """What is answered otherwise than by a broker that was never interrupted."""
    wrong = []
    with lines_in(path, make, **bounds) as lines:
        for agent in AGENTS:
            box = make()
            wanted = dict.fromkeys(range(COUNT + MORE), False) | {
                each.id: each.prediction for each in expected(box, range(COUNT + MORE))
            }
            ids = list(range(COUNT - RESENT, COUNT + MORE))
            while ids:
                answers, refusal = await send(lines, ids, agent=agent)
                wrong += [f"{agent}{a.id}" for a in answers if wanted[a.id] != a.prediction]
                if refusal is None:
                    break
                assert refusal.code is Code.OUT_OF_RANGE
                ids = list(range(refusal.sample_id + 1, COUNT + MORE))
    return wrong


COLUMNS = {
    "line": "line + 1",
    "session": "session + 1",
    "id": "id + 1000",
    "sensors": "CAST(x'00' || substr(sensors, 2) AS BLOB)",
    "sampled_at_ns": "sampled_at_ns + 1",
    "arrived_at_ns": "arrived_at_ns - 1",
    "prediction": "1 - prediction",
    "checksum": "checksum + 1",
}


@pytest.mark.parametrize("make", [Chain, Forgetful])
@pytest.mark.parametrize("column", COLUMNS)
async def test_whatever_is_changed_in_a_row_no_answer_is_wrong_without_a_word(
    column: str, make: type[Forgetful], path: Path, errors: Callable[[], list[str]]
) -> None:
    dice = random.Random(column)  # noqa: S311
    await filled(path, make, snapshot_every=100)
    positions = [position for (position,) in select(path, "SELECT position FROM samples")]
    changed = dice.sample(positions, 10)
    for position in changed:
        change(
            path,
            f"UPDATE samples SET {column} = {COLUMNS[column]} WHERE position = ?",  # noqa: S608
            position,
        )
    wrong = await wrong_answers(path, make, snapshot_every=100)
    told = {message.split(":")[0] for message in errors()}
    assert {agent[0] for agent in wrong} <= told


async def test_a_damaged_sample_of_a_replay_is_told_once_by_agent_and_id(
    path: Path, errors: Callable[[], list[str]]
) -> None:
    await filled(path, Forgetful)
    rows = "SELECT position FROM samples JOIN lines USING (line) WHERE agent_id = 'b' AND id"
    change(
        path,
        f"UPDATE samples SET sensors = zeroblob(16) WHERE position IN ({rows} IN (7, 200, 201))",  # noqa: S608
    )
    change(path, f"DELETE FROM samples WHERE position IN ({rows} = 299)")  # noqa: S608
    with lines_in(path, Forgetful) as lines:
        for agent in AGENTS:
            box = Forgetful()
            seen = [id_ for id_ in range(COUNT) if agent != "b" or id_ not in {7, 200, 201, 299}]
            expected(box, seen)
            ids = range(COUNT, COUNT + MORE)
            assert (await send(lines, ids, agent=agent))[0] == expected(box, ids)
    assert errors() == [
        "b: 4 recorded samples are damaged or missing (ids 7, 200 to 201, 299): they are"
        " left out of the replay, and later predictions may differ until 'broker rebase b' or its"
        " next learning phase"
    ]


async def test_ids_that_were_jumped_over_are_not_missed(
    path: Path, errors: Callable[[], list[str]]
) -> None:
    with lines_in(path, Forgetful, keeping=Keeping(gaps=3)) as lines:
        for first in (0, 10, 20, 40, 80):
            await send(lines, [first, first + 2], session=1)
            await send(lines, [first], session=2)
    with lines_in(path, Forgetful, keeping=Keeping(gaps=3)) as lines:
        await send(lines, [100])
    assert errors() == []


async def test_two_replays_of_a_line_beside_each_other_miss_nothing(
    path: Path, errors: Callable[[], list[str]]
) -> None:
    with lines_in(path, Forgetful) as lines:
        await send(lines, range(1800))
        recorder = lines.recorder
        ahead = (await recorder.basis("a", with_snapshot=True)).position
        for _ in range(3):
            ahead = (await recorder.samples("a", ahead))[-1][0]
        behind = (await recorder.basis("a", with_snapshot=True)).position
        while found := await recorder.samples("a", behind):
            behind = found[-1][0]
            if more := await recorder.samples("a", ahead):
                ahead = more[-1][0]
    assert errors() == []


async def test_a_damaged_answer_is_never_given_again(
    path: Path, errors: Callable[[], list[str]]
) -> None:
    await filled(path, Chain)
    change(path, "UPDATE samples SET prediction = 1 - prediction WHERE id = 280 AND line = 1")
    with lines_in(path, Chain) as lines:
        answers, refusal = await send(lines, range(275, COUNT))
        assert answers == expected(Chain(), range(280))[275:]
        assert (refusal.sample_id, refusal.code) == (280, Code.OUT_OF_RANGE)
    assert "a: 1 recorded answer is damaged, from sample 275 on" in errors()[0]


@pytest.mark.parametrize("shift", [-128, 1024])
async def test_a_damaged_last_id_gives_no_sample_a_second_answer(
    shift: int, path: Path, errors: Callable[[], list[str]]
) -> None:
    await filled(path, Chain)
    change(path, "UPDATE sessions SET last_id = last_id + ? WHERE line = 1", shift)
    assert await wrong_answers(path, Chain) == []
    assert "a: the counters of its session are damaged" in errors()[0]


@pytest.mark.parametrize("sensors", [b"", b"x" * 15, "x" * 16, 7])
async def test_a_row_without_values_is_no_traceback_to_a_reader(
    sensors: object, path: Path
) -> None:
    await filled(path, Chain)
    change(path, "UPDATE samples SET sensors = ? WHERE id = 100 AND line = 1", sensors)
    reader = SqliteReader(path)
    with pytest.raises(DamagedError, match="sample 100 of a is damaged"):
        _ = [chunk async for chunk in reader.samples("a", Span())]
    with pytest.raises(DamagedError, match="sample 100 of a is damaged"):
        await reader.news("", 10_000)


# Stores of a former version


async def test_a_snapshot_of_a_former_store_is_restored_and_its_rows_are_not_verified(
    path: Path, errors: Callable[[], list[str]]
) -> None:
    await filled(path, Chain, snapshot_every=100)
    ((before,),) = select(path, "SELECT count(*) FROM snapshots")
    assert before
    change(
        path,
        "INSERT INTO former_snapshots SELECT line, max(position), digest, state FROM snapshots"
        " GROUP BY line",
    )
    change(path, "DELETE FROM snapshots")
    change(path, "UPDATE samples SET checksum = NULL")
    assert await wrong_answers(path, Chain, snapshot_every=20) == []
    assert errors() == []
    assert select(path, "SELECT count(*) FROM former_snapshots") == [(0,)]


# Bytes of the file


@contextlib.contextmanager
def flipped(path: Path, to: Path, at: int, bit: int) -> Iterator[Path]:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1 << bit
    to.write_bytes(raw)
    try:
        yield to
    finally:
        for name in ("", "-wal", "-shm", ".lock"):
            Path(f"{to}{name}").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("index", "entry"),
    [("sqlite_autoindex_lines_1", b"an-agent"), ("sqlite_autoindex_sessions_1", b"0" * 31 + b"7")],
)
async def test_an_agent_or_a_session_that_an_index_has_lost_is_no_new_one(
    index: str, entry: bytes, path: Path
) -> None:
    with lines_in(path, Chain) as lines:
        await send(lines, range(5), session=7, agent="an-agent")
    ((page,),) = select(path, "SELECT pgoffset FROM dbstat WHERE name = ?", index)
    at = path.read_bytes().index(entry, page)  # noqa: ASYNC240 - nobody else is at work
    with (
        flipped(path, path.with_name("copy.db"), at, 1) as copy,
        pytest.raises(StoreError, match="broker store repair"),
        lines_in(copy, Chain),
    ):
        pass


@pytest.mark.parametrize("make", [Chain, Forgetful])
async def test_one_flipped_bit_anywhere_makes_no_answer_wrong_without_a_word(
    make: type[Forgetful], path: Path, errors: Callable[[], list[str]]
) -> None:
    dice = random.Random(7)  # noqa: S311
    await filled(path, make, snapshot_every=100)
    ((size,),) = select(
        path, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    )
    for number in range(60):
        at, bit = dice.randrange(size), dice.randrange(8)
        before = len(errors())
        with flipped(path, path.with_name(f"{number}.db"), at, bit) as copy:
            try:
                wrong = await wrong_answers(copy, make, snapshot_every=100)
            except (StoreError, RecordError):
                continue
        assert not wrong or len(errors()) > before, (at, bit)


def test_no_flipped_byte_of_the_schema_is_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    with SqliteRecorder(path, "d", Keeping()):
        pass
    raw = path.read_bytes()
    pages = [
        at for (at,) in select(path, "SELECT pgoffset FROM dbstat WHERE name LIKE 'sqlite_s%'")
    ]
    assert any(b"CREATE TABLE" in raw[page : page + 4096] for page in pages)
    assert 0 in pages
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        copy = Path(folder, "copy.db")
        refused: list[bool] = []
        for page, at, flip in itertools.product(pages, range(4096), (0x01, 0x80, 0xFF)):
            here = page + at
            copy.write_bytes(raw[:here] + bytes([raw[here] ^ flip]) + raw[here + 1 :])
            try:
                check_kind(copy)
                if (at + flip) % 16 == 0:
                    with SqliteRecorder(copy, "d", Keeping()):
                        pass
            except StoreError as error:
                refused.append(str(copy) in str(error))
    assert len(refused) > 100
    assert all(refused)
