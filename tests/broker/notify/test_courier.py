"""How messages come to one receiver: in order, again, and no longer than they are news."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.store import full_disk

from broker.feed import Event, Kind
from broker.judged import S_NS
from broker.notify import words
from broker.notify.ages import Ages
from broker.notify.courier import Courier
from broker.notify.message import Message
from broker.notify.outbox import Outbox, Place
from broker.notify.target import DeliveryError

pytestmark = pytest.mark.real


class Receiver:
    """Does what a test says: one word a try, and then it takes all."""

    name = "receiver"

    def __init__(self, *errors: DeliveryError) -> None:
        self.errors = [*errors]
        self.got: list[Message] = []
        self.tries = 0

    async def send(self, message: Message) -> str:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        self.got.append(message)
        return "taken"


class Rig:
    """A courier on its way."""

    def __init__(self, path: Path, receiver: Receiver) -> None:
        self.clock = ManualClock()
        self.outbox = Outbox(path, [receiver.name], {})
        self.ages = Ages(self.clock)
        self.pauses: list[float] = []
        self.courier = Courier(
            *(self.outbox, receiver, self.ages), max_age_h=1, clock=self.clock, pause=self._pause
        )

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    def message(self, number: int = 0) -> Message:
        at_ns = self.clock.time_ns()
        return words.single(Event(Kind.ALARM_BEGUN, f"m{number}", at_ns, at_ns, "hot", at_ns))

    async def put(self, *messages: Message) -> None:
        self.ages.note(messages)
        await self.outbox.save(Place(), messages)
        self.courier.wake()

    async def empty(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await self.outbox.count():  # noqa: ASYNC110 - the file has no event
                await asyncio.sleep(0)


@asynccontextmanager
async def rig(path: Path, receiver: Receiver) -> AsyncIterator[Rig]:
    rig = Rig(path / "notify.db", receiver)
    running = asyncio.create_task(rig.courier.run())
    try:
        yield rig
    finally:
        running.cancel()
        await asyncio.wait([running])
        await rig.outbox.close()


async def test_messages_come_in_order_after_failures(tmp_path: Path) -> None:
    receiver = Receiver(*[DeliveryError("away")] * 3)
    async with rig(tmp_path, receiver) as site:
        sent = [site.message(number) for number in range(3)]
        await site.put(*sent)
        await site.empty()
    assert receiver.got == sent
    assert receiver.tries == 6


async def test_pauses_grow_up_to_five_minutes_and_no_log_is_flooded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(*[DeliveryError("away")] * 12)
    with caplog.at_level(logging.INFO):
        async with rig(tmp_path, receiver) as site:
            await site.put(site.message())
            await site.empty()
    assert all(0.8 * 2**n <= s <= 2**n for n, s in enumerate(site.pauses[:9]))
    assert all(240 <= s <= 300 for s in site.pauses[9:])
    errors = [each for each in caplog.messages if "trying again" in each]
    assert len(errors) == 1
    assert errors[0].startswith(
        "receiver: away; trying again for up to 60 min, and later messages wait: m0: ALARM since "
    )
    assert any("receiver: reached again, after" in each for each in caplog.messages)


async def test_a_full_disk_sends_no_message_again_and_again(tmp_path: Path) -> None:
    receiver = Receiver(*[DeliveryError("away")] * 2)
    async with rig(tmp_path, receiver) as site:
        sent = [site.message(number) for number in range(5)]
        await site.outbox.save(Place(), sent)
        with full_disk(site.outbox.path):
            site.courier.wake()
            async with asyncio.timeout(PATIENCE_S):
                while len(receiver.got) < len(sent) or await site.outbox.next(receiver.name):  # noqa: ASYNC110 - as in empty()
                    await asyncio.sleep(0)
            assert await site.outbox.count() == len(sent)
        await site.outbox.save(Place(), [])
        assert await site.outbox.count() == 0
    assert receiver.got == sent
    assert len(site.pauses) == 2


async def test_a_message_that_is_refused_for_good_stops_no_other(tmp_path: Path) -> None:
    receiver = Receiver(DeliveryError("too large", is_final=True))
    async with rig(tmp_path, receiver) as site:
        first, second = site.message(1), site.message(2)
        await site.put(first, second)
        await site.empty()
    assert receiver.got == [second]
    assert site.pauses == []


async def test_a_message_that_is_too_old_is_given_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(*[DeliveryError("away")] * 30)
    async with rig(tmp_path, receiver) as site:
        await site.put(site.message())
        await site.empty()
    assert receiver.got == []
    assert site.clock.now_s > 1000 + 3600
    assert "not sent, as it is older than 60 min: m0: ALARM since" in caplog.text


async def test_a_clock_that_is_set_makes_no_message_old(tmp_path: Path) -> None:
    receiver = Receiver(*[DeliveryError("away")] * 3)
    async with rig(tmp_path, receiver) as site:
        site.ages.note(messages := [site.message(number) for number in range(2)])
        site.clock.ahead_s += 86_400 * 400
        await site.outbox.save(Place(), messages)
        site.courier.wake()
        await site.empty()
    assert receiver.got == messages


async def test_what_an_earlier_process_left_has_the_age_that_it_says(tmp_path: Path) -> None:
    receiver = Receiver()
    async with rig(tmp_path, receiver) as site:
        old = site.message(1)
        site.clock.advance(3601)
        later = Ages(site.clock)
        assert later.of(old) == 3601 * S_NS
        assert later.of(site.message()) == 0
        site.clock.ahead_s -= 7200
        assert later.of(old) == 3601 * S_NS
