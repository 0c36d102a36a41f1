"""A new predictor comes to a fleet, broker by broker, while agents stream."""

import asyncio
import itertools
import math
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from chaos.predictors import Remembering
from support.chain import Chain
from support.patience import PATIENCE_S
from support.peers import plain_stream
from support.ports import kept_port
from support.postgres import Database, Server
from support.processes import Agent, Broker

from agent.turn import ranked
from broker.model import Sample
from broker.predictors import Predictor
from broker.records import SNAPSHOT_EVERY
from quartet.address import Address
from wire.databroker_pb2 import BrokerRequest
from wire.metadata import StreamHeader

BROKERS = 3

OLD, NEW = ("chaos.predictors:Remembering", 1), ("support.chain:Chain", 2)
"""A predictor, and its generation."""

# Predictions that an agent gets before anything more is done.
_MORE = 15

# An agent that finds no broker for a while tries again.
_AGENT = """
[broker]
address = {addresses}
[sampling]
rate_hz = 25
[link]
reply_deadline_s = 5.0
backoff_min_s = 0.05
backoff_max_s = 0.3
"""

_BEGUN = """
    SELECT agent_id, text FROM events JOIN lines USING (line) WHERE kind = 'begun'
    ORDER BY agent_id
"""
_SAMPLES = """
    SELECT id, sensor1, sensor2, sensor3, sensor4, samples.prediction
    FROM samples JOIN lines USING (line) WHERE agent_id = $1 ORDER BY position
"""


@pytest.fixture
async def database(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    database = await postgres.create()
    yield database
    await database.drop()


@pytest.fixture
def ports() -> Iterator[list[int]]:
    with ExitStack() as stack:
        yield [stack.enter_context(kept_port()) for _ in range(BROKERS)]


class Fleet:
    """Brokers on ports that they keep."""

    def __init__(self, home: Path, url: str, ports: list[int], stack: ExitStack) -> None:
        self._home = home
        self._url = url
        self._ports = ports
        self._stack = stack
        self._brokers: dict[int, Broker] = {}

    def start(self, number: int, predictor: str, generation: int) -> None:
        """Start a broker in the place of the one that has stopped."""
        config = self._home / f"broker-{number}-{generation}.toml"
        config.write_text(f'[log]\nlevel = "debug"\n[fleet]\ngeneration = {generation}\n')
        arguments = ["--config", str(config), "--store", self._url, "--predictor", predictor]
        broker = Broker(*arguments, port=self._ports[number])
        self._brokers[number] = self._stack.enter_context(broker)

    def stop(self, *numbers: int) -> None:
        """Have some end in good order, one after the other."""
        for number in numbers:
            broker = self._brokers.pop(number)
            assert broker.stop() == 0
            assert "Traceback" not in broker.stderr

    def __getitem__(self, number: int) -> Broker:
        return self._brokers[number]


def one_of_each_order(addresses: list[str]) -> list[str]:
    """Agents, by their ids; two of them never go round the brokers in the same order."""
    brokers = [Address.parse(each, "address") for each in addresses]
    found: dict[tuple[Address, ...], str] = {}
    for number in itertools.count():
        if len(found) == math.factorial(BROKERS):
            return sorted(found.values())
        agent_id = f"press-{number}"
        found.setdefault(ranked(agent_id, brokers), agent_id)
    raise AssertionError


async def heads(database: Database, generation: int) -> dict[str, int]:
    """How many samples of an agent are on record, of those that this generation has served."""
    query = "SELECT agent_id, head FROM lines WHERE generation = $1"
    return dict(await database.select(query, generation))


async def go_on(database: Database, agents: Iterable[str]) -> None:
    """Return when each of the agents has got some more predictions, wherever it is."""

    async def count() -> dict[str, int]:
        return await heads(database, OLD[1]) | await heads(database, NEW[1])

    before = await count()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            now = await count()
            if all(now.get(each, 0) >= before.get(each, 0) + _MORE for each in agents):
                return
            await asyncio.sleep(0.1)


async def prepare(broker: Broker, agent_id: str) -> None:
    """Have a snapshot of an agent's predictor, and some samples behind it."""
    header = StreamHeader(agent_id, f"{1:032x}", 0, 0, 0)
    async with plain_stream(broker.address, header.to_metadata()) as call:
        for id_ in range(SNAPSHOT_EVERY + _MORE):
            await call.write(BrokerRequest(id=id_, sensor1=id_ / 2))
            await call.read()
        await call.done_writing()


def predictions(box: Predictor, samples: Sequence[Sample]) -> list[bool]:
    return [box.predict(each) for each in samples]


async def test_each_agent_gets_the_new_predictor_once(
    tmp_path: Path, dataset: Path, database: Database, ports: list[int]
) -> None:
    """Also where the brokers that have it go away again, and one that has it not is there."""
    addresses = [f"127.0.0.1:{port}" for port in ports]
    config = tmp_path / "agent.toml"
    config.write_text(_AGENT.format(addresses=addresses))
    ids = one_of_each_order(addresses)
    with ExitStack() as stack:
        fleet = Fleet(tmp_path, database.url, ports, stack)
        for number in range(BROKERS):
            await asyncio.to_thread(fleet.start, number, *OLD)
        replay = ("--config", str(config), "--simulate", str(dataset), "--loop")
        await asyncio.gather(*(prepare(fleet[0], each) for each in ids))
        agents = [stack.enter_context(Agent(*replay, "--agent-id", each)) for each in ids]
        await go_on(database, ids)
        for number in (0, 1):
            await asyncio.to_thread(fleet.stop, number)
            await go_on(database, ids)
            await asyncio.to_thread(fleet.start, number, *NEW)
        await asyncio.to_thread(fleet.stop, 0, 1)
        served = await heads(database, NEW[1])
        assert served
        assert await heads(database, OLD[1])
        await asyncio.to_thread(fleet[2].wait_for, "brokers with a newer predictor serve")
        await go_on(database, await heads(database, OLD[1]))
        assert await heads(database, NEW[1]) == served
        for number in (0, 1):
            await asyncio.to_thread(fleet.start, number, *NEW)
        await asyncio.to_thread(fleet.stop, 2)
        await go_on(database, ids)
        for agent in agents:
            await asyncio.to_thread(agent.kill)
        await asyncio.to_thread(fleet.stop, 0, 1)
    begun = await database.select(_BEGUN)
    assert [agent_id for agent_id, _ in begun] == ids
    assert all(text.startswith("another predictor") for _, text in begun)
    for agent_id in ids:
        rows = await database.select(_SAMPLES, agent_id)
        samples = [Sample(id_, tuple(values)) for id_, *values, _ in rows]
        said = [prediction for *_, prediction in rows]
        former, latter = predictions(Remembering(), samples), predictions(Chain(), samples)
        assert said in [former[:at] + latter[at:] for at in range(1, len(rows))]
