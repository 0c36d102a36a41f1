"""How many agents that were never seen may come from one host."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chain import Chain
from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.store import header, lines_in, send

from broker.access import Access, Peer
from broker.config import LimitsSettings
from broker.errors import CrowdedError
from broker.lines import Lines
from broker.model import Code
from broker.newcomers import Newcomers, host_of
from broker.predictors import BlackBox
from broker.recorder import Recorder
from broker.recorder.memory import Memory, MemoryRecorder
from broker.recorder.sqlite.keeping import Keeping
from broker.recorder.sqlite.recorder import SqliteRecorder
from broker.service import Service
from broker.transport.memory import MemoryCall, MemoryTransport
from wire import METHOD_PATH
from wire.databroker_pb2 import BrokerRequest

many = settings(derandomize=True, deadline=None, max_examples=60)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("10.0.0.9:99", "10.0.0.9"),
        ("[::ffff:10.0.0.9]:99", "10.0.0.9"),
        ("[2001:db8:1:2:3:4:5:6]:99", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:1", "2001:db8:1:2::/64"),
        ("[fe80::1%eth0]:99", "fe80::/64"),
        ("unix:", "unix"),
        ("somewhere", "somewhere"),
        ("", ""),
    ],
)
def test_a_host_is_an_address_or_a_network_of_64_bits(address: str, host: str) -> None:
    assert host_of(address) == host


@many
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 30)), max_size=60), st.integers(1, 5)
)
def test_a_host_has_its_number_of_newcomers_in_any_minute_that_begins_with_one(
    script: list[tuple[str, float]], most: int
) -> None:
    clock = ManualClock()
    newcomers = Newcomers(clock)
    windows: dict[str, deque[float]] = {}
    for host, pause_s in script:
        clock.advance(pause_s)
        window = windows.setdefault(host, deque())
        if window and clock.now_s - window[0] >= 60:
            window.clear()
        assert newcomers.add(host, most) == (len(window) < most)
        if len(window) < most:
            window.append(clock.now_s)


def test_no_more_hosts_are_remembered_than_fit() -> None:
    newcomers = Newcomers(ManualClock(), most_hosts=2)
    assert newcomers.add("a", 1)
    assert newcomers.add("b", 1)
    assert not newcomers.add("a", 1)
    assert newcomers.add("c", 1)  # in place of the one that came longest ago
    assert not newcomers.add("b", 1)
    assert newcomers.add("a", 1)


def test_a_crowd_is_refused_by_host_and_told_once_an_hour(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    door = Access(None, LimitsSettings(new_lines_per_minute=2), None, clock)

    def come(number: int, host: str = "10.0.0.9") -> bool:
        try:
            door.admit_new_line(Peer(f"{host}:{number}", None, f"press-{number}"))
        except CrowdedError:
            return False
        return True

    assert [come(number) for number in range(5)] == [True, True, False, False, False]
    assert come(5, "10.0.0.10")
    assert len(caplog.messages) == 1
    assert "press-2 at 10.0.0.9:2 is refused: limits.new_lines_per_minute" in caplog.text
    clock.advance(60.0)
    assert [come(number) for number in range(6, 9)] == [True, True, False]
    assert len(caplog.messages) == 1
    clock.advance(3600.0)
    assert [come(number) for number in range(9, 12)] == [True, True, False]
    assert len(caplog.messages) == 2


def test_another_limit_holds_at_once() -> None:
    door = Access(None, LimitsSettings(new_lines_per_minute=1), None, ManualClock())
    peer = Peer("10.0.0.9:1", None, "press-1")
    door.admit_new_line(peer)
    with pytest.raises(CrowdedError, match=r"new_lines_per_minute is reached by 10\.0\.0\.9: 1"):
        door.admit_new_line(peer)
    door.limit(LimitsSettings(new_lines_per_minute=2))
    door.admit_new_line(peer)
    for unlimited in (0, None):
        door.limit(LimitsSettings(new_lines_per_minute=unlimited))
        for _ in range(5):
            door.admit_new_line(peer)


# Through the whole broker


class Broker:
    """A service that lets in two agents a minute that it does not know."""

    def __init__(self, recorder: Recorder) -> None:
        self.clock = ManualClock()
        limits = LimitsSettings(new_lines_per_minute=2)
        lines = Lines(BlackBox(Chain, "d1"), recorder)
        self.service = Service(lines, Access(None, limits, None, self.clock))
        self.transport = MemoryTransport()

    async def lets_in(self, agent: str | None, id_: int = 0) -> bool:
        """Open a stream, send a sample, and close it."""
        metadata = header(id_, agent=agent).to_metadata() if agent else ()
        call: MemoryCall = self.transport.call(METHOD_PATH, metadata, peer="1.2.3.4:5")
        await call.send(BrokerRequest(id=id_).SerializeToString())
        call.done_sending()
        answered = bool(await call.receive())
        ending = await call.ending()
        if not answered:
            assert ending.code is Code.RESOURCE_EXHAUSTED
            assert "limits.new_lines_per_minute" in ending.reason
        return answered


@asynccontextmanager
async def serving(recorder: Recorder) -> AsyncIterator[Broker]:
    broker = Broker(recorder)
    await broker.transport.start({METHOD_PATH: broker.service.serve})
    async with asyncio.timeout(PATIENCE_S):
        yield broker
        await broker.transport.stop(0.0)


async def test_agents_that_are_known_come_as_they_like(tmp_path: Path) -> None:
    """Known by memory, or by records alone."""
    path = tmp_path / "broker.db"
    with lines_in(path, Chain) as lines:
        await send(lines, range(3), agent="recorded")
    with SqliteRecorder(path, "d1", Keeping()) as recorder:
        async with serving(recorder) as broker:
            assert await broker.lets_in("first")
            assert await broker.lets_in("second")
            assert not await broker.lets_in("third")
            assert not await broker.lets_in("third")
            assert await broker.lets_in("first", 1)
            assert await broker.lets_in("recorded", 3)
            for _ in range(3):
                assert await broker.lets_in(None)  # a plain peer, whose line ends with it
            broker.clock.advance(60.0)
            assert await broker.lets_in("third")


async def test_who_is_refused_displaces_nobody_in_memory() -> None:
    recorder = MemoryRecorder(Memory(lines=2))
    async with serving(recorder) as broker:
        assert await broker.lets_in("first")
        assert await broker.lets_in("second")
        for number in range(5):
            assert not await broker.lets_in(f"invented-{number}")
        assert await broker.lets_in("second", 1)
        claim = await recorder.claim(header(agent="first"), "")
        assert claim.last_id == 0
        recorder.release(claim)
        assert await broker.lets_in("first", 1)
