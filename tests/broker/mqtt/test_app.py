"""What is told while the records cannot be read."""

import asyncio
from typing import cast

from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.records import Records

from broker.mqtt.app import follow
from broker.mqtt.messages import Messages
from broker.recorder.reader import Reader
from quartet.notify import Notifier
from quartet.settings import MqttServer


class Looks(Notifier):
    """Hears of each look at the records."""

    def __init__(self) -> None:
        super().__init__()
        self._heard = asyncio.Event()

    def watchdog(self) -> None:
        self._heard.set()

    async def next(self) -> None:
        self._heard.clear()
        async with asyncio.timeout(PATIENCE_S):
            await self._heard.wait()


async def test_agents_of_a_store_that_cannot_be_read_yet_are_not_taken_away() -> None:
    clock, stop, looks = ManualClock(), asyncio.Event(), Looks()
    records = Records(clock)
    records.send("press-4")
    records.trouble = "broker.db: cannot be used"
    messages = Messages(MqttServer("127.0.0.1:1883"), "1.2", clock)
    following = asyncio.create_task(follow(cast("Reader", records), messages, looks, stop, clock))
    await looks.next()
    assert messages.present() is None
    records.trouble = ""
    await looks.next()
    assert "quartet/broker/press-4/state" in (messages.present() or {})
    records.trouble = "broker.db: cannot be used"
    await looks.next()
    assert "quartet/broker/press-4/state" in (messages.present() or {})
    stop.set()
    await following
