from itertools import chain

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import ManualClock
from support.spools import Blocked, Device, home_in_ram, name

from agent.model import Session
from agent.spool import ledger
from agent.spool.account import EARLIER, Fate, Ids
from agent.spool.books import Books
from agent.spool.directories import Directories
from agent.spool.row import Key

many = settings(derandomize=True, deadline=None, max_examples=100)


def session(sequence: int) -> Session:
    return Session(sequence, f"{sequence:032x}", 0, 0)


# Ids


@many
@given(st.sets(st.integers(0, 60)))
def test_ids_are_counted_and_named_by_runs(some: set[int]) -> None:
    ids = Ids()
    for id_ in sorted(some):
        ids.add(id_, id_)
    assert ids.count == len(some)
    assert [*chain(*(range(a, b + 1) for a, b in ids.runs))] == sorted(some)
    assert all(b + 1 < c for (_, b), (c, _) in zip(ids.runs, ids.runs[1:], strict=False))


def test_a_spool_that_drops_every_other_sample_is_counted_and_not_named_for_ever() -> None:
    ids = Ids()
    for id_ in range(0, 100_000, 2):
        ids.add(id_, id_)
    assert ids.count == 50_000
    assert len(msgspec.json.encode(ids)) < 20_000


# The balance

events = st.lists(
    st.tuples(
        st.sampled_from(["sampled", "answered", *Fate]),
        st.integers(1, 3),
    ),
    max_size=80,
)


@many
@given(events)
def test_each_sample_has_one_place_in_the_books(script: list[tuple[str, int]]) -> None:
    books = Books()
    waiting: dict[int, list[int]] = {}
    counts: dict[tuple[int, str], int] = {}
    for number in (1, 2, 3):
        books.begin(session(number))
        waiting[number] = []
    for event, number in script:
        if event == "sampled":
            id_ = counts.get((number, event), 0)
            books.book_sample(Key(number, id_))
            waiting[number].append(id_)
        elif not waiting[number]:
            continue
        elif event == "answered":
            books.book_answer(Key(number, waiting[number].pop(0)))
        else:
            books.book_fate(Fate(event), Key(number, waiting[number].pop(0)))
        counts[number, event] = counts.get((number, event), 0) + 1
    assert books.kept == sum(map(len, waiting.values()))
    for each, account in books:
        assert account.waiting == len(waiting[each.sequence])
        assert account.sampled == counts.get((each.sequence, "sampled"), 0)
        assert account.answered == counts.get((each.sequence, "answered"), 0)
        for fate in Fate:
            booked = account.fates.get(fate, Ids()).count
            assert booked == counts.get((each.sequence, fate), 0)


@many
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 20)), max_size=5),
)
def test_reconciled_books_agree_with_the_rows(sessions: list[tuple[int, int, int]]) -> None:
    books = Books()
    for sequence, (sampled, answered, _) in enumerate(sessions, 1):
        books.begin(session(sequence))
        for id_ in range(sampled):
            books.book_sample(Key(sequence, id_))
        for id_ in range(min(sampled, answered)):
            books.book_answer(Key(sequence, id_))
    rows = {n: min(rows, sampled) for n, (sampled, _, rows) in enumerate(sessions, 1)}
    expected = sum(max(0, s - min(s, a) - rows[n]) for n, (s, a, _) in enumerate(sessions, 1))
    found = {
        n: [(sampled - rows[n], sampled - 1)]
        for n, (sampled, _, _) in enumerate(sessions, 1)
        if rows[n]
    }
    assert books.reconcile(found) == expected
    for each, account in books:
        assert account.waiting == rows[each.sequence]
        assert 0 <= account.answered <= account.sampled
    assert books.kept == sum(rows.values())


# Many sessions


def live_and_die(device: Device, clock: ManualClock, times: int) -> None:
    for _ in range(times):
        device.start()
        device.keep(3)
        device.close()
        clock.advance(10)


def totals(places: Directories) -> tuple[int, ...]:
    """Sampled, answered, waiting and dropped in all; the ledger balances."""
    read = ledger.read(places)
    assert read.balanced
    entries = read.sessions
    without = sum(ids.count for entry in entries for ids in entry.fates.values())
    columns = [(e.sampled, e.answered, e.waiting) for e in entries]
    return (*map(sum, zip(*columns, strict=True)), without)


async def test_the_oldest_sessions_become_one_sum_and_no_sample_is_forgotten() -> None:
    with home_in_ram() as home:
        clock = ManualClock()
        device = Device(home, clock=clock, most_sessions=4)
        for number in range(1, 13):
            device.start()
            device.keep(3)
            await device.drain()
            device.close()
            assert totals(device.directories) == (3 * number, 3 * number, 0, 0)
            assert len(device.ledger().sessions) <= 6
            clock.advance(10)
        first, *_ = device.ledger().sessions
        assert first.session_id == EARLIER
        assert first.ended


async def test_a_session_with_samples_that_wait_is_not_folded() -> None:
    with home_in_ram() as home:
        clock = ManualClock()
        device = Device(home, clock=clock, most_sessions=4)
        live_and_die(device, clock, 9)
        assert len(device.ledger().sessions) == 9
        device.start()
        assert len(await device.drain()) == 27
        device.close()
        device.start()
        device.close()
        assert totals(device.directories) == (27, 27, 0, 0)
        assert len(device.ledger().sessions) <= 6


@pytest.mark.parametrize("end", ["kill", "power cut"])
async def test_wherever_a_folding_is_cut_short_no_sample_is_counted_twice_or_not(
    end: str,
) -> None:
    with home_in_ram() as home:
        clock = ManualClock()
        device = Device(home, clock=clock, most_sessions=4)
        live_and_die(device, clock, 9)
        device.start()
        await device.drain()
        seen: list[Directories] = []
        with device.files.meanwhile(after_commit=lambda: seen.append(device.snapshot())):
            device.close()
            device.start()
            device.close()
        assert len(seen) > 3
        for places in seen:
            if end == "power cut":
                for path in places.hot.iterdir():
                    path.unlink()
            sampled, answered, waits, without = totals(places)
            assert (sampled, without) == (27, 0)
            assert answered + waits == 27
            device.directories = places
            device.start()
            await device.drain()
            device.close()
            assert totals(device.directories) == (27, 27, 0, 0)


async def test_a_new_session_has_a_place_after_all_that_were_folded() -> None:
    with home_in_ram() as home:
        clock = ManualClock()
        device = Device(home, clock=clock, most_sessions=4)
        places = []
        for _ in range(9):
            device.start()
            (sample,) = device.keep(1)
            places.append(sample.session.sequence)
            await device.drain()
            device.close()
            clock.advance(10)
        assert places == sorted(set(places))


async def test_sessions_of_a_disk_that_comes_late_keep_their_order_also_when_folded() -> None:
    with home_in_ram() as home:
        clock = ManualClock()
        device = Device(home, clock=clock, most_sessions=4)
        for _ in range(9):
            device.start()
            device.keep(1)
            await device.drain()
            device.close()
            clock.advance(10)
        device.start()
        old = device.keep(3)
        clock.advance(10)
        device.step()
        device.cut_power()
        late = Blocked(device.directories.cold, unreadable=True)
        device.start()
        new = device.keep(3)
        late.close()
        clock.advance(10)
        device.step()
        device.kill()
        device.start()
        given = await device.drain()
        assert [*map(name, given)] == [*map(name, old + new)]
        device.close()
        assert totals(device.directories)[2:] == (0, 0)
