"""What people write: acknowledgements, notes, audit; and alarms as they are asked for."""

import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.past import S_NS, Past, Taken
from support.store import select

from broker.console.book import Book, tables, writings
from broker.console.book.model import (
    MOST_NAME,
    MOST_TEXT,
    Acknowledgement,
    Act,
    AlarmQuery,
    AlarmState,
    Note,
)
from broker.errors import CommandError
from broker.feed.alarms import Run
from broker.recorder.reader import Span

DAY_NS = 86_400 * S_NS


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    past = Past(tmp_path / "broker.db")
    yield past
    past.close()


@pytest.fixture
async def book(tmp_path: Path, past: Past) -> AsyncIterator[Book]:
    """With an alarm of each of three days of press-1, and one that is open of press-2."""
    book = await Book.open(tmp_path / "console.db", ManualClock(wall_s=1000.0))
    for day in (1, 2, 3):
        run = [Taken(day * DAY_NS + n * S_NS, prediction=n < 3, said="T2") for n in range(5)]
        past.add("press-1", run)
    past.add("press-2", [Taken(4 * DAY_NS, prediction=True)])
    await book.feed(past.reader)
    yield book
    await book.close()


async def begun(book: Book, query: AlarmQuery) -> list[tuple[str, int]]:
    return [(each.agent_id, each.begun_at_ns // DAY_NS) for each in await book.alarms(query)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (AlarmQuery(), [("press-2", 4), ("press-1", 3), ("press-1", 2), ("press-1", 1)]),
        (AlarmQuery(most=2), [("press-2", 4), ("press-1", 3)]),
        (AlarmQuery(behind=(3 * DAY_NS, "press-1")), [("press-1", 2), ("press-1", 1)]),
        (AlarmQuery(behind=(3 * DAY_NS, "press-0"), most=1), [("press-1", 3)]),
        (AlarmQuery(agent_id="press-2"), [("press-2", 4)]),
        (AlarmQuery(agent_id="press-9"), []),
        (AlarmQuery(part="RESS-2"), [("press-2", 4)]),
        (AlarmQuery(part="%"), []),
        (AlarmQuery(AlarmState.OPEN), [("press-2", 4)]),
        (AlarmQuery(AlarmState.ACKNOWLEDGED), []),
        (AlarmQuery(AlarmState.ENDED, most=1), [("press-1", 3)]),
        (AlarmQuery(AlarmState.ENDED, is_acknowledged=True), []),
        (AlarmQuery(is_acknowledged=False, most=2), [("press-2", 4), ("press-1", 3)]),
        # Some part of it is in the span; an open one has no end.
        (AlarmQuery(span=Span(2 * DAY_NS + 2 * S_NS, 3 * DAY_NS)), [("press-1", 2)]),
        (AlarmQuery(span=Span(2 * DAY_NS + 3 * S_NS, 3 * DAY_NS)), []),
        (AlarmQuery(span=Span(0, DAY_NS + 1)), [("press-1", 1)]),
        (AlarmQuery(span=Span(9 * DAY_NS, 10 * DAY_NS)), [("press-2", 4)]),
    ],
)
async def test_alarms_are_found_newest_first(
    query: AlarmQuery, expected: list[tuple[str, int]], book: Book
) -> None:
    assert await begun(book, query) == expected


async def test_pages_leave_no_alarm_out_that_began_with_another(book: Book, past: Past) -> None:
    for name in ("saw-2", "saw-1", "saw-3"):
        past.add(name, [Taken(5 * DAY_NS, prediction=True)])
    await book.feed(past.reader)
    found, behind = [], None
    while page := await book.alarms(AlarmQuery(behind=behind, most=2)):
        found += [each.agent_id for each in page]
        behind = (page[-1].begun_at_ns, page[-1].agent_id)
    assert found == ["saw-1", "saw-2", "saw-3", "press-2", *["press-1"] * 3]


async def test_who_acknowledged_an_alarm_stands_beside_it(book: Book, past: Past) -> None:
    await book.acknowledge("press-2", 4 * DAY_NS + 1000, "shift-a", "seen")
    await book.acknowledge("press-1", 2 * DAY_NS + S_NS, "maintenance", "")  # within it
    known = Acknowledgement("shift-a", 1000 * S_NS, "seen")
    assert (await book.open_alarms())["press-2"].acknowledged == known
    (alarm,) = await book.alarms(AlarmQuery(AlarmState.ACKNOWLEDGED))
    assert (alarm.agent_id, alarm.state) == ("press-2", AlarmState.ACKNOWLEDGED)
    assert await book.alarms(AlarmQuery(AlarmState.OPEN)) == []
    second = (await book.alarms(AlarmQuery(AlarmState.ENDED)))[1]
    assert second.acknowledged == Acknowledgement("maintenance", 1000 * S_NS, "")
    # Another person, later: the newest word counts.
    await book.acknowledge("press-2", 4 * DAY_NS, "maintenance", "oil")
    assert (await book.alarms(AlarmQuery(most=1)))[0].acknowledged == Acknowledgement(
        "maintenance", 1000 * S_NS, "oil"
    )
    past.add("press-2", [Taken(4 * DAY_NS + S_NS)])
    await book.feed(past.reader)
    assert await book.open_alarms() == {}


@pytest.mark.parametrize(
    ("agent", "at_ns"),
    [("press-1", 5 * DAY_NS), ("press-1", DAY_NS - 2 * S_NS), ("press-9", DAY_NS), ("press-1", 0)],
)
async def test_an_alarm_that_never_was_is_not_acknowledged(
    agent: str, at_ns: int, book: Book
) -> None:
    with pytest.raises(CommandError, match=f"{agent} had no alarm at this time"):
        await book.acknowledge(agent, at_ns, "shift-a", "")


async def test_notes_of_a_span_come_in_its_order(book: Book) -> None:
    text = "oil \u2066\n" + "x" * (MOST_TEXT - 6)
    await book.add_note("press-1", 30, "shift-a", "third")
    await book.add_note("press-1", 10, "shift-a", "first")
    await book.add_note("press-1", 20, "m" * MOST_NAME, text)
    await book.add_note("press-2", 20, "shift-a", "of another")
    assert await book.notes("press-1", Span(10, 30)) == [
        Note(10, "shift-a", "first", 1000 * S_NS),
        Note(20, "m" * MOST_NAME, text, 1000 * S_NS),
    ]


@pytest.mark.parametrize(
    ("by", "text", "said"),
    [
        ("shift-a", "x" * (MOST_TEXT + 1), "2001 characters: at most 2000"),
        ("m" * (MOST_NAME + 1), "x", "1 to 64 visible characters"),
        ("", "x", "1 to 64 visible characters"),
        ("a\nb", "x", "1 to 64 visible characters"),
        ("shift-a", " \n", "the note is empty"),
    ],
)
async def test_a_text_that_is_not_kept_is_refused_in_words(
    by: str, text: str, said: str, book: Book
) -> None:
    with pytest.raises(CommandError, match=said):
        await book.add_note("press-1", 0, by, text)
    if text.strip():
        with pytest.raises(CommandError, match=said):
            await book.acknowledge("press-1", DAY_NS, by, text)
    assert await book.notes("press-1", Span()) == []


async def test_the_audit_keeps_the_newest_acts_of_each_kind(book: Book, tmp_path: Path) -> None:
    verbs = ["noted"] * 3 + ["downloaded"] * 100 + ["noted"] * 30

    def change(rows: sqlite3.Connection) -> None:
        for number, verb in enumerate(verbs):
            writings.record(rows, Act(number, "shift-a", "::1", verb, "press-1", "oil"), 20)

    await book.database.write(change)
    found = select(tmp_path / "console.db", "SELECT verb, at_ns FROM audit ORDER BY act")
    noted = [at_ns for verb, at_ns in found if verb == "noted"]
    looked = [at_ns for verb, at_ns in found if verb == "downloaded"]
    assert noted in ([*range(113, 133)], [*range(112, 133)])
    assert looked == [*range(83, 103)]
    assert select(tmp_path / "console.db", "SELECT DISTINCT name, detail FROM audit") == [
        ("shift-a", "oil")
    ]


async def test_many_looks_drive_no_act_out_of_the_audit(book: Book, tmp_path: Path) -> None:
    def change(rows: sqlite3.Connection) -> None:
        for number, verb in enumerate(["noted"] + ["downloaded"] * 100):
            writings.record(rows, Act(number, "shift-a", "::1", verb, "press-1", ""), 10)

    await book.database.write(change)
    (noted,) = select(tmp_path / "console.db", "SELECT at_ns FROM audit WHERE verb = 'noted'")
    assert noted == (0,)


async def test_notes_have_a_most(book: Book) -> None:
    def fill(rows: sqlite3.Connection) -> None:
        for number in range(writings.MOST_NOTES):
            writings.add_note(rows, "press-1", Note(number, "shift-a", "oil", 0))

    await book.database.write(fill)
    with pytest.raises(CommandError, match="press-1 has 10000 notes"):
        await book.add_note("press-1", 5, "shift-a", "oil")
    await book.add_note("press-2", 5, "shift-a", "oil")
    shown = await book.notes("press-1", Span())
    assert len(shown) == writings.MOST_SHOWN + 1
    assert shown[-1].at_ns == writings.MOST_NOTES - 1


Runs = Mapping[tuple[str, int], Run]


def flapping(agent: str, count: int, since_ns: int = 0) -> Runs:
    return {
        (agent, since_ns + n): Run(since_ns + n, since_ns + n, is_open=False) for n in range(count)
    }


async def write(book: Book, runs: Runs) -> None:
    await book.database.write(lambda rows: tables.save_runs(rows, runs))


async def test_a_machine_that_flaps_leaves_room_for_the_alarms_of_others(book: Book) -> None:
    """The oldest go that are over, and that nobody acknowledged."""
    await book.acknowledge("press-1", DAY_NS, "shift-a", "keep")
    await write(book, flapping("press-1", tables.MOST_OF_AGENT, since_ns=5 * DAY_NS))
    found = await begun(book, AlarmQuery(most=10**6))
    assert len(found) == tables.MOST_OF_AGENT + 1
    assert found[-2:] == [("press-2", 4), ("press-1", 1)]


async def test_there_is_a_most_of_alarms(book: Book) -> None:
    for number in range(tables.MOST_ALARMS // tables.MOST_OF_AGENT):
        await write(book, flapping(f"saw-{number}", tables.MOST_OF_AGENT, since_ns=5 * DAY_NS))
    found = await begun(book, AlarmQuery(most=10**6))
    assert len(found) == tables.MOST_ALARMS
    assert found[-1] == ("press-2", 4)  # it is open
