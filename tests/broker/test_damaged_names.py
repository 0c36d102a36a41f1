"""Rows that name agents and sessions, and are not what was written: told, and never believed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chain import Chain
from support.store import change, expected, lines_in, select, send

from broker.errors import RecordError
from broker.recorder.sqlite.checksums import (
    line_checksum,
    line_verifies,
    session_checksum,
    session_verifies,
)
from broker.recorder.sqlite.reader import SqliteReader
from broker.recorder.sqlite.upkeep import SqliteUpkeep

AGENT = "an-agent"
SESSION = f"{7:032x}"

many = settings(derandomize=True, deadline=None, max_examples=200)
integers = st.integers(-(2**63), 2**63 - 1)
names = st.none() | st.text(max_size=9)


async def filled(path: Path) -> None:
    with lines_in(path, Chain, snapshot_every=20) as lines:
        await send(lines, range(50), session=7, agent=AGENT)
        await send(lines, range(5), session=8, agent="another")


def flip(path: Path, table: str, name: str, bit: int = 0x20) -> None:
    """Change a bit of a name in the pages of a table alone: the index keeps the right one."""
    data = bytearray(path.read_bytes())
    pages = select(path, "SELECT pgoffset, pgsize FROM dbstat WHERE name = ?", table)
    ((offset, size),) = pages
    assert isinstance(offset, int)
    assert isinstance(size, int)
    at = data.index(name.encode(), offset, offset + size)
    data[at] ^= bit
    path.write_bytes(data)


# Checksums


@many
@given(st.tuples(integers, names), st.tuples(integers, names))
def test_a_line_verifies_as_what_it_was_alone(
    row: tuple[int, str | None], other: tuple[int, str | None]
) -> None:
    checksum = line_checksum(*row)
    assert line_verifies((*row, None))
    assert line_verifies((*row, checksum))
    assert line_verifies((*other, checksum)) == (row == other)


@many
@given(
    st.tuples(integers, integers, names, integers), st.tuples(integers, integers, names, integers)
)
def test_a_session_verifies_as_what_it_was_alone(
    row: tuple[int, int, str | None, int], other: tuple[int, int, str | None, int]
) -> None:
    checksum = session_checksum(*row)
    assert session_verifies((*row, None))
    assert session_verifies((*row, checksum))
    assert session_verifies((*other, checksum)) == (row == other)


@pytest.mark.parametrize("row", [("1", "a"), (1.5, "a"), (None, "a"), (1, b"a"), (1, 7)])
def test_a_line_of_other_types_never_verifies(row: tuple[object, object]) -> None:
    assert not line_verifies((*row, None))


async def test_each_row_that_is_made_has_a_checksum(path: Path) -> None:
    await filled(path)
    with lines_in(path, Chain) as lines:
        await lines.open(None)
    for table in ("lines", "sessions"):
        assert select(path, f"SELECT count(*) FROM {table} WHERE checksum IS NULL") == [(0,)]  # noqa: S608


# In a store


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE sessions SET opened_at_ns = opened_at_ns + 1 WHERE session = 1", "session 1"),
        ("UPDATE sessions SET id = '0' || substr(id, 2, 30) || '9' WHERE session = 1", "session 1"),
        ("UPDATE sessions SET line = 2 WHERE session = 1", "session 1"),
        ("UPDATE lines SET agent_id = 'an-Agent' WHERE line = 1", "line 1"),
        ("UPDATE lines SET line = 9 WHERE line = 1", "line 9"),
    ],
)
async def test_a_check_names_the_row_and_not_who_it_says_to_be(
    damage: str, said: str, path: Path
) -> None:
    await filled(path)
    assert SqliteUpkeep(path).check().problems == []
    assert change(path, damage) == 1
    problems = [str(problem) for problem in SqliteUpkeep(path).check().problems]
    told = [problem for problem in problems if "what names" in problem]
    assert len(told) == 1
    assert f"what names {said} is not what was recorded (checksum)" in told[0]
    assert "an-Agent" not in told[0]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE sessions SET opened_at_ns = opened_at_ns + 1 WHERE session = 1",
        "UPDATE lines SET checksum = checksum + 1 WHERE line = 1",
    ],
)
async def test_an_agent_whose_row_is_damaged_is_answered_only_after_a_repair(
    damage: str, path: Path, errors: Callable[[], list[str]]
) -> None:
    await filled(path)
    change(path, damage)
    with lines_in(path, Chain) as lines:
        with pytest.raises(RecordError, match="is damaged"):
            await send(lines, range(50, 60), session=7, agent=AGENT)
        assert "broker store repair" in lines.recorder.trouble
    assert any("wrong checksum" in error for error in errors())
    SqliteUpkeep(path).repair()
    with lines_in(path, Chain, snapshot_every=20) as lines:
        answers, _ = await send(lines, range(60), session=7, agent=AGENT)
    assert answers == expected(Chain(), range(60))


async def test_a_session_with_a_flipped_bit_in_its_name_has_its_own_after_a_repair(
    path: Path,
) -> None:
    await filled(path)
    before = (await SqliteReader(path).accounts()).sessions
    flip(path, "sessions", SESSION, 1)
    done = SqliteUpkeep(path).repair()
    assert any("name was damaged" in note for note in done.notes)
    assert (await SqliteReader(path).accounts()).sessions == before


async def test_an_agent_with_a_flipped_bit_in_its_name_has_its_own_after_a_repair(
    path: Path,
) -> None:
    await filled(path)
    before = (await SqliteReader(path).accounts()).sessions
    flip(path, "lines", AGENT)
    assert any("1 damaged row was left out" in note for note in SqliteUpkeep(path).repair().notes)
    assert (await SqliteReader(path).accounts()).sessions == before


async def test_rows_from_before_there_were_checksums_are_believed(path: Path) -> None:
    await filled(path)
    for table in ("lines", "sessions"):
        change(path, f"UPDATE {table} SET checksum = NULL")  # noqa: S608
    assert SqliteUpkeep(path).check().problems == []
    with lines_in(path, Chain) as lines:
        answers, _ = await send(lines, range(50, 60), session=7, agent=AGENT)
    assert answers == expected(Chain(), range(60))[50:]
