"""What is told while the records cannot be read."""

import asyncio
from typing import cast

from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.records import Records

from broker.feed import Look
from broker.mqtt.app import follow
from broker.mqtt.messages import Messages
from broker.recorder.reader import Reader
from quartet.notify import Notifier
from quartet.repeat import repeat
from quartet.settings import MqttServer


class Told(Messages):
    """Tells of each look at the records."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(MqttServer("127.0.0.1:1883"), "1.2", clock)
        self._taken = asyncio.Event()

    def take(self, seen: Look) -> None:
        super().take(seen)
        self._taken.set()

    async def next(self) -> None:
        self._taken.clear()
        async with asyncio.timeout(PATIENCE_S):
            await self._taken.wait()


async def test_agents_of_a_store_that_cannot_be_read_yet_are_not_taken_away() -> None:
    clock, stop = ManualClock(), asyncio.Event()
    records, messages = Records(clock), Told(clock)
    records.send("press-4")
    records.trouble = "broker.db: cannot be used"
    reader = cast("Reader", records)
    following = asyncio.create_task(follow(reader, messages, Notifier(), stop, clock))
    await messages.next()
    assert messages.present() is None
    records.trouble = ""
    await messages.next()
    assert "quartet/broker/press-4/state" in (messages.present() or {})
    records.trouble = "broker.db: cannot be used"
    await messages.next()
    assert "quartet/broker/press-4/state" in (messages.present() or {})
    stop.set()
    await following


class Beats(Notifier):
    """Whom systemd kills unless it beats: counts the beats."""

    def __init__(self) -> None:
        super().__init__()
        self.watchdog_s = 0.003
        self.count = 0
        self._beaten = asyncio.Event()

    def watchdog(self) -> None:
        self.count += 1
        self._beaten.set()

    async def next(self) -> None:
        self._beaten.clear()
        async with asyncio.timeout(PATIENCE_S):
            await self._beaten.wait()


class Slow(Records):
    """Records on a slow disk: it answers when a test says so."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.is_asked, self.answers = asyncio.Event(), asyncio.Event()

    async def served_since(self) -> int | None:
        self.is_asked.set()
        await self.answers.wait()
        return await super().served_since()


async def test_a_look_that_takes_long_is_no_reason_to_be_killed_and_one_without_end_is() -> None:
    clock, stop, beats = ManualClock(), asyncio.Event(), Beats()
    records, messages = Slow(clock), Told(clock)
    following = asyncio.create_task(follow(cast("Reader", records), messages, beats, stop, clock))
    async with asyncio.timeout(PATIENCE_S):
        await records.is_asked.wait()
    for _ in range(3):
        clock.advance(100.0)
        await beats.next()
    clock.advance(400.0)
    count, ticks = beats.count, asyncio.Queue[None]()
    ticking = asyncio.create_task(repeat(lambda: ticks.put_nowait(None), beats.pulse_s))
    for _ in range(10):  # in this time it would have beaten
        await ticks.get()
    ticking.cancel()
    assert beats.count == count
    records.answers.set()
    await messages.next()
    stop.set()
    await following
