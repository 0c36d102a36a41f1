"""From the records to the file of unsent messages, whatever comes in between."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.records import Records
from support.store import full_disk, killed_copy

from broker.notify.app import Notifications, opened
from broker.notify.config import NotifySettings, Settings
from broker.notify.message import SUMMARY, Message
from broker.notify.outbox import Outbox
from quartet.errors import InUseError, StoreError

pytestmark = pytest.mark.real

T2 = "alarm: T2 is 30, its limit 22: sensor2 74%, sensor1 26%"


class Nobody:
    """A receiver that is away."""

    name = "nobody"

    async def send(self, message: Message) -> str:
        raise AssertionError(message)


class Site:
    """Records, and who tells of them. Nothing is sent: it stays in the file."""

    def __init__(self, directory: Path) -> None:
        self.clock = ManualClock()
        self.records = Records(self.clock)
        self.path = directory / "notify.db"
        self.settings = Settings(notify=NotifySettings(pause_s=10.0, max_age_h=1.0))

    @asynccontextmanager
    async def telling(self, path: Path | None = None) -> AsyncIterator[Notifications]:
        records, nobody = self.records, [Nobody()]
        async with opened(
            self.settings,
            records,  # type: ignore[arg-type]
            path or self.path,
            nobody,
            self.clock,
        ) as (told, _):
            yield told

    async def steps(self, told: Notifications, seconds: float = 1.0) -> None:
        for _ in range(round(seconds / 0.5)):
            self.clock.advance(0.5)
            await told.step()

    async def unsent(self, path: Path | None = None) -> list[Message]:
        outbox = Outbox(path or self.path, [Nobody.name], {})
        found = []
        while message := await outbox.next(Nobody.name):
            found.append(message)
            await outbox.remove(Nobody.name, message)
        await outbox.close()
        return found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_an_alarm_is_in_the_file_within_a_second(site: Site) -> None:
    async with site.telling() as told:
        site.records.send("a")
        await site.steps(told)
        site.records.send("a", prediction=True, reason=T2)
        await site.steps(told, 1.0)
    (message,) = await site.unsent()
    assert (message.kind, message.events[0]["agent"]) == ("alarm_begun", "a")


async def test_a_kill_at_any_step_loses_no_alarm_and_tells_none_twice(
    site: Site, tmp_path: Path
) -> None:
    """Each step is the last one of a process, and another one continues from its file."""
    kept: list[Path] = []
    async with site.telling() as told:
        site.records.send("a")
        await site.steps(told)
        for second in range(8):
            site.records.send("a", prediction=second == 2, reason=T2 if second == 2 else "")
            await site.steps(told, 0.5)
            kept.append(killed_copy(site.path, tmp_path / f"killed{second}.db"))
        await site.steps(told, 25)
    whole = [message.kind for message in await site.unsent()]
    assert whole == ["alarm_begun", "alarm_ended"]
    for path in kept:
        async with site.telling(path) as told:
            await site.steps(told, 25)
        found = await site.unsent(path)
        assert [message.kind for message in found] in (whole, ["alarm_ended"])
        alarms = [event["alarm"] for message in found for event in message.events]
        assert len(set(alarms)) == 1


async def test_an_event_that_is_held_back_survives_a_kill(site: Site, tmp_path: Path) -> None:
    async with site.telling() as told:
        site.records.send("a")
        await site.steps(told)
        site.records.send("a", prediction=True, reason=T2)
        await site.steps(told, 0.5)
        copy = killed_copy(site.path, tmp_path / "copy.db")
    async with site.telling(copy) as told:
        await site.steps(told)
    assert [message.kind for message in await site.unsent(copy)] == ["alarm_begun"]


async def test_a_storm_of_200_alarms_is_one_summary(site: Site) -> None:
    async with site.telling() as told:
        for number in range(200):
            site.records.send(f"m{number}")
        await site.steps(told)
        for number in range(200):
            site.records.send(f"m{number}", prediction=True, reason=T2)
            if number % 60 == 59:
                await site.steps(told, 0.5)
        await site.steps(told, 1.0)
        first = (await site.steps(told, 20), await told.step())[1]
    assert len(first.lines) == 200
    messages = await site.unsent()
    assert {message.kind for message in messages} == {SUMMARY}
    assert len(messages) <= 2
    assert sum(message.counts["alarm_begun"] for message in messages) == 200


async def test_what_is_older_than_the_bound_is_not_told_after_a_long_rest(site: Site) -> None:
    async with site.telling() as told:
        site.records.send("a")
        await site.steps(told)
    site.records.send("a", prediction=True, reason=T2)
    site.records.send("a")
    site.clock.advance(7200)
    site.records.send("b")
    site.records.send("b", prediction=True, reason=T2)
    async with site.telling() as told:
        await site.steps(told, 2)
    told_of = [each.events[0] for each in await site.unsent()]
    assert ("alarm_begun", "b") in [(each["kind"], each["agent"]) for each in told_of]


async def test_a_full_disk_delays_messages_and_loses_none(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    async with site.telling() as told:
        site.records.send("a")
        await site.steps(told)
        site.records.send("a", prediction=True, reason=T2)
        site.clock.advance(0.5)
        with full_disk(site.path):
            await site.steps(told, 2)
            assert caplog.text.count("messages are sent from memory") == 1
        await site.steps(told)
    assert [message.kind for message in await site.unsent()] == ["alarm_begun"]


async def test_a_full_disk_keeps_no_message_from_its_receiver(site: Site) -> None:
    class Receiver(Nobody):
        def __init__(self) -> None:
            self.got: asyncio.Queue[str] = asyncio.Queue()

        async def send(self, message: Message) -> str:
            self.got.put_nowait(message.kind)
            return "taken"

    receiver, arguments = Receiver(), (site.settings, site.records, site.path)
    async with opened(*arguments, [receiver], site.clock) as (told, (courier,)):  # type: ignore[arg-type]
        running = asyncio.create_task(courier.run())
        site.records.send("a")
        await site.steps(told)
        site.records.send("a", prediction=True, reason=T2)
        with full_disk(site.path):
            await site.steps(told, 2)
            async with asyncio.timeout(PATIENCE_S):
                assert await receiver.got.get() == "alarm_begun"
        site.records.send("a")
        await site.steps(told, 25)
        async with asyncio.timeout(PATIENCE_S):
            assert await receiver.got.get() == "alarm_ended"
            while in_file(site.path):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])


def in_file(path: Path) -> int:
    """How many messages wait."""
    with closing(sqlite3.connect(path)) as rows:
        count: int = rows.execute("SELECT count(*) FROM messages").fetchone()[0]
        return count


async def test_two_processes_do_not_use_one_file(site: Site) -> None:
    async with site.telling():
        with pytest.raises(InUseError, match="is in use by process"):
            async with site.telling():
                raise AssertionError


async def test_a_place_that_cannot_be_read_is_told_and_left(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    from support.store import change

    async with site.telling() as told:
        site.records.send("a")
        await site.steps(told)
    assert change(site.path, "UPDATE place SET mark = 'x'") == 1
    async with site.telling() as told:
        await site.steps(told)
        site.records.send("a", prediction=True, reason=T2)
        await site.steps(told)
    assert "it is not known where the last run ended" in caplog.text
    assert [message.kind for message in await site.unsent()] == ["alarm_begun"]


async def test_a_directory_that_is_missing_is_told(site: Site, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be locked"):
        async with site.telling(tmp_path / "nowhere" / "notify.db"):
            raise AssertionError
