import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chain import Chain
from support.store import header, lines_in, sample, select, send

from broker.__main__ import main
from broker.ledger import Ledger
from broker.model import Sample
from broker.recorder.reader import Accounts, PlainAccount, SessionAccount
from broker.recorder.sqlite.reader import SqliteReader
from broker.recorder.sqlite.schema import MIGRATIONS

many = settings(derandomize=True, deadline=None, max_examples=60)


class Touchy(Chain):
    def predict(self, sample: Sample) -> bool:
        if sample.id == 3:
            raise ArithmeticError
        return super().predict(sample)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """Two agents and two plain peers, with everything that can happen to a sample."""
    path = tmp_path / "broker.db"
    with lines_in(path, Touchy) as lines:
        for ids in ([0, 1, 2, 3], [3], [3], [4, 5, 9], [1, 2, 4]):
            await send(lines, ids)
        await send(lines, range(100, 1100), 1, "press-4")
        for count in (3, 1):
            with await lines.open(None) as stream:
                await stream.answer([sample(0)] * count)
    return path


async def test_each_sample_has_its_place_in_the_books(path: Path) -> None:
    books = await SqliteReader(path).accounts()
    assert books.sessions == [
        SessionAccount("a", "0" * 32, 0, 9, 12, 6, 3, 3, 4, "d1", [(3, 3), (6, 8)]),
        SessionAccount("press-4", f"{1:032x}", 100, 1099, 1000, 1000, 0, 0, 0, "d1", []),
    ]
    assert books.plain == PlainAccount(2, 4, 4)
    assert Ledger(books).problems() == []


async def test_rehearsals_are_one_line_of_the_books(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    with lines_in(path, Touchy) as lines:
        await send(lines, [0, 1])
        for number in range(3):
            of = replace(header(agent=f"rehearsal-{number}"), is_rehearsal=True)
            with await lines.open(of) as stream:
                await stream.answer([sample(0), sample(1)])
    reader = SqliteReader(path)
    books = await reader.accounts()
    assert [account.is_rehearsal for account in books.sessions] == [False, True, True, True]
    assert [line.is_rehearsal for line in await reader.lines()] == [False, True, True, True]
    text = Ledger(books).to_text()
    assert "rehearsals: 3 sessions, 6 received, 6 answered" in text
    assert "rehearsal-" not in text
    assert await reader.commands("rehearsal-1") == []


@pytest.mark.parametrize(
    ("is_rehearsal", "streams", "text"),
    [
        (True, 0, "rehearsals: 1 session, 2 received, 2 answered"),
        (None, 1, "without agent metadata: 1 stream, 4 received, 4 answered"),
        (None, 0, "no sessions"),
    ],
)
def test_books_tell_nothing_of_what_there_is_not(
    is_rehearsal: bool | None, streams: int, text: str
) -> None:
    session = SessionAccount("a", "0" * 32, 0, 1, 2, 2, 0, 0, 0, "d1", [], is_rehearsal=True)
    plain = PlainAccount(streams, 4 * streams, 4 * streams)
    assert Ledger(Accounts([session] if is_rehearsal else [], plain)).to_text() == text


async def test_a_rehearsal_that_was_reset_is_still_one(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    of = replace(header(agent="rehearsal-1"), is_rehearsal=True)
    with lines_in(path, Touchy) as lines, await lines.open(of) as stream:
        await stream.answer([sample(0)])
    await SqliteReader(path).command_rebase("rehearsal-1")
    with lines_in(path, Touchy) as lines, await lines.open(replace(of, first_id=1)) as stream:
        await stream.answer([sample(1)])
    (line,) = await SqliteReader(path).lines()
    assert line.is_rehearsal
    assert [each.is_applied for each in await SqliteReader(path).commands("rehearsal-1")] == [True]


def test_a_program_reads_the_books_as_json(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "--store", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema": 1,
        "sessions": [
            {
                "agent_id": "a",
                "session_id": "0" * 32,
                "first_id": 0,
                "last_id": 9,
                "received": 12,
                "answered": 6,
                "duplicates": 3,
                "refused": 3,
                "gaps": 4,
                "missing": [[3, 3], [6, 8]],
                "digest": "d1",
                "is_rehearsal": False,
                "sensors": None,
            },
            {
                "agent_id": "press-4",
                "session_id": f"{1:032x}",
                "first_id": 100,
                "last_id": 1099,
                "received": 1000,
                "answered": 1000,
                "duplicates": 0,
                "refused": 0,
                "gaps": 0,
                "missing": [],
                "digest": "d1",
                "is_rehearsal": False,
                "sensors": None,
            },
        ],
        "plain": {"streams": 2, "received": 4, "answered": 4},
        "losses": [],
    }


def test_a_person_reads_the_books_as_a_table(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", f"{path.parent}:/elsewhere")
    assert main(["ledger"]) == 0
    assert capsys.readouterr().out == (
        "agent    session   first id  last id  received  answered"
        "  duplicates  refused  gaps\n"
        "a        00000000         0        9        12         6"
        "           3        3     4\n"
        "press-4  00000000       100     1099      1000      1000"
        "           0        0     0\n"
        "without agent metadata: 2 streams, 4 received, 4 answered\n"
    )


counts = st.integers(0, 6)


@many
@given(st.tuples(counts, counts, counts, counts, counts), st.none() | counts, counts)
def test_books_balance_exactly_when_each_sample_has_one_fate_and_each_id_one_place(
    numbers: tuple[int, int, int, int, int], first_id: int | None, span: int
) -> None:
    received, answered, duplicates, refused, gaps = numbers
    last_id = None if first_id is None else first_id + span
    account = SessionAccount("a", "", first_id, last_id, *numbers, "d", [])
    ids = 0 if first_id is None else span + 1
    balances = received == answered + duplicates + refused and ids == answered + gaps
    ledger = Ledger(Accounts([account], PlainAccount(0, 0, 0)))
    assert bool(ledger.problems()) is not balances


@pytest.mark.parametrize("column", ["received", "answered", "gaps", "last_id"])
def test_books_that_do_not_balance_are_named_and_end_with_1(
    column: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    select(path, f"UPDATE sessions SET {column} = {column} + 1 WHERE session = 2")  # noqa: S608
    assert main(["ledger", "--store", str(path)]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("agent ")
    assert f"broker: press-4, session {1:032x}: does not balance: " in said.err
    assert said.err.count("\n") == 1


async def test_the_books_are_read_beside_a_running_broker(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    with lines_in(path, Chain) as lines, await lines.open(header()) as stream:
        for id_ in range(3):
            await stream.answer([sample(id_)])
            (account,) = (await SqliteReader(path).accounts()).sessions
            assert (account.received, account.last_id) == (id_ + 1, id_)


def _foreign(path: Path) -> None:
    select(path, "CREATE TABLE t (x)")


def _newer(path: Path) -> None:
    with lines_in(path, Chain):
        pass
    select(path, "PRAGMA user_version = 8")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: None, "there is no such file"),
        (Path.mkdir, "there is no such file"),
        (lambda path: path.write_text("my diary"), "is damaged (file is not a database)"),
        (_foreign, "is a database, but not a store of the broker"),
        (_newer, f"has schema 8, this version of quartet knows {len(MIGRATIONS)}"),
    ],
)
@pytest.mark.parametrize("command", [["ledger"], ["rebase", "a"]])
def test_a_store_that_cannot_be_read_is_named(
    make: Callable[[Path], object],
    reason: str,
    command: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "broker.db"
    make(path)
    assert main([*command, "--store", str(path)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"broker: {path}: {reason}")


def test_a_command_to_an_agent_that_is_not_known_names_those_that_are(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("rebase", "forget"):
        assert main([command, "press", "--store", str(path)]) == 1
        assert capsys.readouterr().err.endswith("has no agent press; it has a, press-4\n")
        assert select(path, "SELECT * FROM commands") == []


async def test_who_is_forgotten_is_in_no_book(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ((count,),) = select(
        path, "SELECT count(*) FROM samples JOIN lines USING (line) WHERE agent_id = 'a'"
    )
    assert await asyncio.to_thread(main, ["forget", "a", "--store", str(path)]) == 0
    assert capsys.readouterr().out == f"a: deleted all records, {count} samples among them\n"
    assert await asyncio.to_thread(main, ["ledger", "--store", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("press-4 ")
    with lines_in(path, Chain):
        assert await asyncio.to_thread(main, ["forget", "press-4", "--store", str(path)]) == 0
        assert capsys.readouterr().out.startswith("press-4: the running broker deletes")


@pytest.mark.parametrize("command", [["ledger"], ["rebase", "a"], ["forget", "a"]])
def test_which_store_is_asked_must_be_said(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    with pytest.raises(SystemExit, match="2"):
        main(command)
    assert "give --store PATH" in capsys.readouterr().err
