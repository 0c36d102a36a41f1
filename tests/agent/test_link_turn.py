"""The link among several scripted brokers: the next one at once, and back home in good order."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, closing

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse
from support.patience import PATIENCE_S
from support.peers import Peer, scripted_broker
from support.spools import home_in_ram

from agent.config import LinkSettings, SpoolSettings
from agent.credentials import Plaintext
from agent.homeward import FIRST_WAIT_S, LONGEST_WAIT_S, MOST_PART
from agent.link import Link
from agent.model import Identity, Prediction, Reading
from agent.spool.directories import Directories
from agent.spool.spool import Spool
from agent.state import LinkState
from agent.turn import ranked
from quartet.address import Address

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING

# A wait of the backoff never ends by itself, and no other wait is ever reached.
PATIENT = LinkSettings(
    window=8, reply_deadline_s=PATIENCE_S, backoff_min_s=3600, backoff_max_s=3600
)


class Last(random.Random):
    """Chance that always falls on the end of the range."""

    def random(self) -> float:
        return 1.0


class Broker:
    """One that a test has away, refusing or serving, and that counts its streams."""

    def __init__(self, changed: asyncio.Event) -> None:
        self._changed = changed
        self.ending: grpc.StatusCode | None = None
        self.health = SERVING
        self.streams = 0
        self.in_good_order = 0
        self.questions = 0
        self.left = asyncio.Event()
        self.gone = asyncio.Event()
        self.on_stream: Callable[[], None] = lambda: None

    async def script(self, peer: Peer) -> None:
        self.streams += 1
        self.on_stream()
        self._changed.set()
        self.left = asyncio.Event()
        if self.ending:
            await peer.read()
            await peer.abort(self.ending, "as the test says")
        serving = asyncio.create_task(peer.echo())
        leaving = asyncio.create_task(self.left.wait())
        try:
            done, _ = await asyncio.wait({serving, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (serving, leaving):
                task.cancel()
            await asyncio.gather(serving, leaving, return_exceptions=True)
        if serving in done:
            self.in_good_order += 1
            return
        self.gone.set()
        await peer.abort(grpc.StatusCode.UNAVAILABLE, "going down")

    async def go_down(self) -> None:
        """Answer no more on the stream that is open."""
        self.ending = grpc.StatusCode.UNAVAILABLE
        self.left.set()
        await self.gone.wait()

    def tell_health(self) -> int:
        self.questions += 1
        return self.health


class Plant:
    """Three brokers in the order of one agent, and the agent's link."""

    leaving: ExitStack

    def __init__(self) -> None:
        home = self.leaving.enter_context(home_in_ram())
        directories = Directories(home / "hot", home / "cold")
        directories.hot.mkdir()
        directories.cold.mkdir()
        self.spool = self.leaving.enter_context(closing(Spool(directories, SpoolSettings(), 0)))
        self.predictions: list[Prediction] = []
        self.waits_s: list[float] = []
        self._go = asyncio.Event()
        self._changed = asyncio.Event()

    async def start(self, stack: AsyncExitStack, count: int = 3) -> None:
        served: dict[Address, Broker] = {}
        for _ in range(count):
            broker = Broker(self._changed)
            serving = scripted_broker(broker.script, tell_health=broker.tell_health)
            served[Address("127.0.0.1", await stack.enter_async_context(serving))] = broker
        self.addresses = ranked("press-4", list(served))
        self.brokers = [served[address] for address in self.addresses]
        self.link = Link(
            *(Identity("press-4"), list(served), PATIENT, self.spool, self._deliver),
            credentials=Plaintext(),
            sleep=self._sleep,
            chance=Last(),
        )
        running = asyncio.create_task(self.link.run())

        async def end() -> None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        stack.push_async_callback(end)

    async def answered(self) -> None:
        """A sample more is put in and answered."""
        before = len(self.predictions)
        self.spool.append(Reading((0.0, 0.0, 0.0, 0.0), 0))
        await self.until(lambda: len(self.predictions) == before + 1)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until it holds; it is looked at when a broker, the link or a wait does something."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def wait_is_over(self) -> None:
        """The wait before the question for home's health passes, and the question is answered."""
        asking = self.link._homeward._asking  # noqa: SLF001 - nothing else tells of the answer
        assert asking
        asking.add_done_callback(lambda _: self._changed.set())
        count = len(self.waits_s)
        self._go.set()
        await self.until(lambda: asking.done() or len(self.waits_s) > count)

    @property
    def streams(self) -> list[int]:
        return [broker.streams for broker in self.brokers]

    def _deliver(self, prediction: Prediction) -> None:
        self.predictions.append(prediction)
        self._changed.set()

    async def _sleep(self, seconds: float) -> None:
        self.waits_s.append(seconds)
        self._changed.set()
        self._go.clear()
        await self._go.wait()


@pytest.fixture
async def plant() -> AsyncIterator[Plant]:
    with ExitStack() as Plant.leaving:
        yield Plant()


async def test_a_broken_link_is_left_for_the_next_broker_at_once(
    plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with AsyncExitStack() as stack:
        await plant.start(stack)
        home, second, third = plant.addresses
        await plant.answered()
        assert (plant.link.broker, plant.link.home) == (home, home)
        await plant.brokers[0].go_down()
        await plant.answered()
        assert (plant.link.broker, plant.link.home) == (second, home)
        await plant.brokers[1].go_down()
        await plant.answered()
        assert plant.link.broker == third
    assert [each.sample.id for each in plant.predictions] == [0, 1, 2]
    assert plant.streams == [1, 1, 1]
    assert f"no connection to {home} (" in caplog.text  # with a status by grpc.aio, at times
    assert f"retries, next at {second}" in caplog.text
    assert f"streaming to {third}" in caplog.text


async def test_after_a_whole_round_the_link_waits(plant: Plant) -> None:
    async with AsyncExitStack() as stack:
        await plant.start(stack)
        for broker in plant.brokers:
            broker.ending = grpc.StatusCode.UNAVAILABLE
        plant.spool.append(Reading((0.0, 0.0, 0.0, 0.0), 0))
        await plant.until(lambda: plant.streams == [1, 1, 1])
        plant.brokers[1].ending = None
        plant.link.hurry()  # in place of the end of the wait
        await plant.until(lambda: len(plant.predictions) == 1)
    assert plant.streams == [2, 2, 1]


@pytest.mark.parametrize("code", ["PERMISSION_DENIED", "INVALID_ARGUMENT"])
async def test_a_refusal_does_not_turn(plant: Plant, code: str) -> None:
    async with AsyncExitStack() as stack:
        await plant.start(stack)
        plant.brokers[0].ending = grpc.StatusCode[code]
        plant.spool.append(Reading((0.0, 0.0, 0.0, 0.0), 0))
        await plant.until(lambda: plant.brokers[0].streams == 1)
        plant.link.hurry()
        await plant.until(lambda: plant.brokers[0].streams == 2)
    assert plant.link.state is LinkState.REFUSED
    assert plant.streams == [2, 0, 0]
    assert plant.link.broker == plant.addresses[0]


async def away(plant: Plant, stack: AsyncExitStack) -> None:
    """The link streams to its second broker, and its home is back."""
    await plant.start(stack)
    await plant.answered()
    await plant.brokers[0].go_down()
    await plant.answered()
    plant.brokers[0].ending = None


async def test_home_that_serves_again_is_gone_back_to_between_two_samples(
    plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with AsyncExitStack() as stack:
        await away(plant, stack)
        await plant.until(lambda: bool(plant.waits_s))
        assert plant.brokers[0].questions == 0
        await plant.wait_is_over()
        assert plant.streams == [1, 1, 0]  # it stays for as long as there is no sample
        await plant.answered()
        assert plant.link.broker == plant.addresses[0]
        await plant.answered()
    assert plant.streams == [2, 1, 0]
    assert plant.brokers[1].in_good_order == 1
    assert [each.sample.id for each in plant.predictions] == [0, 1, 2, 3]
    assert plant.waits_s == [FIRST_WAIT_S * MOST_PART]
    home, away_at, _ = plant.addresses
    assert f"{home} serves again: the agent leaves {away_at} and goes home" in caplog.text
    assert plant.link.reconnects == 1  # the way home is none


async def test_home_that_does_not_serve_is_asked_ever_more_seldom(plant: Plant) -> None:
    async with AsyncExitStack() as stack:
        await away(plant, stack)
        plant.brokers[0].health = NOT_SERVING
        await plant.until(lambda: bool(plant.waits_s))
        for _ in range(4):
            await plant.wait_is_over()
            await plant.answered()
        limits = [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S, LONGEST_WAIT_S, LONGEST_WAIT_S]
        assert plant.waits_s == [MOST_PART * limit_s for limit_s in limits]
        assert plant.link.broker == plant.addresses[1]
        plant.brokers[0].health = SERVING
        await plant.wait_is_over()
        await plant.answered()
        assert plant.link.broker == plant.addresses[0]
        await plant.brokers[0].go_down()
        plant.brokers[1].ending = None
        count = len(plant.waits_s)
        await plant.answered()
        await plant.until(lambda: len(plant.waits_s) > count)
    assert plant.waits_s[-1] == MOST_PART * FIRST_WAIT_S  # home has answered since
    assert max(plant.waits_s) <= 3600  # as the documentation says


async def test_home_that_refuses_does_not_keep_an_agent_that_was_served_elsewhere(
    plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncExitStack() as stack:
        await away(plant, stack)
        plant.brokers[0].ending = grpc.StatusCode.PERMISSION_DENIED
        await plant.until(lambda: bool(plant.waits_s))
        await plant.wait_is_over()
        await plant.answered()
        assert plant.link.broker == plant.addresses[1]
        await plant.until(lambda: len(plant.waits_s) == 2)
    assert plant.streams == [2, 2, 0]
    assert plant.waits_s[1] == MOST_PART * 2 * FIRST_WAIT_S
    assert f"the agent goes back to {plant.addresses[1]}" in caplog.text


async def test_home_that_serves_and_breaks_each_stream_is_tried_ever_more_seldom(
    plant: Plant,
) -> None:
    async with AsyncExitStack() as stack:
        await away(plant, stack)
        plant.brokers[0].ending = grpc.StatusCode.UNAVAILABLE
        await plant.until(lambda: bool(plant.waits_s))
        await plant.wait_is_over()
        await plant.answered()
        await plant.until(lambda: len(plant.waits_s) == 2)
    assert plant.streams == [2, 2, 0]
    assert plant.waits_s[1] == MOST_PART * 2 * FIRST_WAIT_S


async def test_a_broker_that_refuses_does_not_keep_an_agent_from_its_home(plant: Plant) -> None:
    async with AsyncExitStack() as stack:
        await plant.start(stack)
        plant.brokers[0].ending = grpc.StatusCode.UNAVAILABLE
        plant.brokers[1].ending = grpc.StatusCode.PERMISSION_DENIED
        plant.spool.append(Reading((0.0, 0.0, 0.0, 0.0), 0))
        await plant.until(lambda: plant.streams[:2] == [1, 1])
        plant.brokers[0].ending = None
        plant.link.hurry()  # in place of the end of the wait
        await plant.until(lambda: len(plant.predictions) == 1)
    assert plant.streams == [2, 1, 0]
    assert plant.link.broker == plant.addresses[0]


async def test_a_trouble_names_the_broker_that_had_it(plant: Plant) -> None:
    told: list[tuple[Address, str]] = []
    async with AsyncExitStack() as stack:
        await plant.start(stack)
        home, second, _ = plant.addresses
        plant.brokers[0].ending = grpc.StatusCode.UNAVAILABLE
        plant.brokers[1].on_stream = lambda: told.append((plant.link.broker, plant.link.trouble))
        await plant.answered()
    assert told == [(second, f"{home}: UNAVAILABLE: as the test says")]
    assert plant.link.trouble == ""


async def test_one_broker_alone_is_its_own_home_and_nobody_asks_for_another(plant: Plant) -> None:
    async with AsyncExitStack() as stack:
        await plant.start(stack, count=1)
        await plant.answered()
        assert plant.link.home is None
    assert plant.waits_s == []
