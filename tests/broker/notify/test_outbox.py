"""Unsent messages in their file."""

import logging
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from support.notices import AT_NS, alarm
from support.store import change, full_disk, killed_copy

from broker.notify.message import SUMMARY, Message
from broker.notify.outbox import Outbox, Place
from quartet.errors import StoreError

NOBODY: Mapping[str, str] = {}


def message(number: int) -> Message:
    return alarm(f"m{number}", at_ns=AT_NS + number)


@asynccontextmanager
async def opened(
    path: Path,
    targets: Sequence[str] = ("one", "two"),
    most: int = 1000,
    renamed: Mapping[str, str] = NOBODY,
) -> AsyncIterator[Outbox]:
    outbox = Outbox(path, targets, renamed, most)
    try:
        yield outbox
    finally:
        await outbox.close()


async def drained(outbox: Outbox, target: str) -> list[Message]:
    found = []
    while message := await outbox.next(target):
        found.append(message)
        await outbox.remove(target, message)
    return found


def damage(path: Path, how: str) -> None:
    if how == "text":
        path.write_text("no database at all, only text " * 100, "utf-8")
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        change(path, "UPDATE messages SET message = 'x' WHERE number = 3")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notify.db"


async def test_each_receiver_has_each_message_in_order(path: Path) -> None:
    async with opened(path) as outbox:
        assert await outbox.place() == Place()
        await outbox.save(Place(b"mark", b"held"), [message(1), message(2)])
        await outbox.save(Place(b"mark", b"held"), [message(3)])
        assert await drained(outbox, "one") == [message(1), message(2), message(3)]
        assert await outbox.count() == 3
    async with opened(path) as outbox:
        assert await outbox.place() == Place(b"mark", b"held")
        assert len(await drained(outbox, "two")) == 3
        assert await outbox.next("two") is None


async def test_messages_and_place_survive_a_kill_together(path: Path, tmp_path: Path) -> None:
    async with opened(path) as outbox:
        await outbox.save(Place(b"1", b""), [message(1)])
        copy = killed_copy(path, tmp_path / "copy.db")
    async with opened(copy) as outbox:
        assert await outbox.place() == Place(b"1", b"")
        assert await drained(outbox, "one") == [message(1)]


async def test_the_same_message_is_kept_once(path: Path) -> None:
    async with opened(path) as outbox:
        for _ in range(2):
            await outbox.save(Place(), [message(1)])
        assert await drained(outbox, "one") == [message(1)]


async def test_too_many_are_put_together_oldest_first_and_counted(path: Path) -> None:
    async with opened(path, ["one"], most=10) as outbox:
        joined = 0
        for number in range(100):
            joined += await outbox.save(Place(), [message(number)])
        assert joined > 0
        first, *others = await drained(outbox, "one")
    assert first.kind == SUMMARY
    assert len(others) <= 10
    assert others == [message(number) for number in range(100 - len(others), 100)]
    assert first.counts == {"alarm_begun": 100 - len(others)}


async def test_what_is_under_way_takes_no_others_along_that_are_put_together(path: Path) -> None:
    async with opened(path, ["one"], most=10) as outbox:
        await outbox.save(Place(), [message(number) for number in range(10)])
        under_way = await outbox.next("one")
        assert await outbox.save(Place(), [message(10)]) == 5
        assert under_way
        await outbox.remove("one", under_way)
        together, *others = await drained(outbox, "one")
    assert (together.kind, together.counts) == (SUMMARY, {"alarm_begun": 5})
    assert others == [message(number) for number in range(5, 11)]


async def test_what_cannot_be_written_is_given_once_and_kept_later(path: Path) -> None:
    async with opened(path, ["one", "two"], most=10) as outbox:
        await outbox.save(Place(), [message(0)])
        with full_disk(path):
            for number in range(1, 4):
                with pytest.raises(StoreError):
                    await outbox.save(Place(b"not"), [message(number)])
            assert await outbox.next("one") == message(0)
            await outbox.remove("one", message(0))
            assert await outbox.next("one") == message(1)
            await outbox.remove("one", message(1))
            assert await outbox.next("one") == message(2)
        await outbox.save(Place(b"mark"), [message(4)])
        assert await drained(outbox, "one") == [message(2), message(3), message(4)]
        assert await outbox.count() == 5
    async with opened(path) as outbox:
        assert await drained(outbox, "two") == [message(number) for number in range(5)]
        assert await outbox.place() == Place(b"mark")


async def test_too_many_are_put_together_also_in_memory(path: Path) -> None:
    async with opened(path, ["one"], most=10) as outbox:
        await outbox.save(Place(), [])
        with full_disk(path):
            for number in range(100):
                with pytest.raises(StoreError):
                    await outbox.save(Place(), [message(number)])
        await outbox.save(Place(), [])
        assert await outbox.count() <= 10
        found = await drained(outbox, "one")
    assert sum(each.counts["alarm_begun"] for each in found) == 100


async def test_a_receiver_that_is_configured_no_more_has_none(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(path) as outbox:
        await outbox.save(Place(), [message(1)])
    async with opened(path, ["two", "three"]) as outbox:
        assert await outbox.count() == 1
    assert "1 unsent message was for receivers that are not configured any more" in caplog.text


async def test_a_receiver_that_gets_a_name_keeps_its_messages(path: Path) -> None:
    async with opened(path) as outbox:
        await outbox.save(Place(), sent := [message(1), message(2)])
    renamed = {"one": "chat", "two": "chat"}
    async with opened(path, ["chat", "two"], renamed=renamed) as outbox:
        assert await drained(outbox, "chat") == sent
        assert await drained(outbox, "two") == sent


@pytest.mark.parametrize("how", ["text", "cut", "message"])
async def test_a_damaged_file_is_set_aside(
    path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(path) as outbox:
        await outbox.save(Place(), [message(number) for number in range(50)])
    damage(path, how)
    with caplog.at_level(logging.WARNING):
        async with opened(path) as outbox:
            assert await outbox.count() == 0
            await outbox.save(Place(), [message(1)])
    assert (path.parent / "notify.damaged.db").exists()
    assert "is damaged" in caplog.text


def test_a_file_of_others_is_not_touched(path: Path) -> None:
    with closing(sqlite3.connect(path)) as rows:
        rows.execute("CREATE TABLE theirs (x)")
        rows.commit()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not one of 'broker notify'"):
        Outbox(path, ["one"], NOBODY)
    assert path.read_bytes() == before


async def test_a_file_of_a_newer_version_is_refused(path: Path) -> None:
    async with opened(path):
        pass
    change(path, "PRAGMA user_version = 9")
    with pytest.raises(StoreError, match="use the version that wrote it"):
        Outbox(path, ["one"], NOBODY)


async def test_a_place_that_cannot_be_written_is_told(path: Path) -> None:
    with pytest.raises(StoreError, match=r"nowhere/notify\.db"):
        Outbox(path.parent / "nowhere" / "notify.db", ["one"], NOBODY)
