"""A service over the transport in memory, and calls to it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from support.chain import Chain
from support.clock import ManualClock
from support.patience import PATIENCE_S

from broker.access import Access
from broker.config import LimitsSettings
from broker.connections import ConnectionLog
from broker.lines import Lines
from broker.predictors import BlackBox, Predictor
from broker.recorder.memory import MemoryRecorder
from broker.service import Service
from broker.transport.memory import MemoryCall, MemoryTransport
from wire import METHOD_PATH
from wire.databroker_pb2 import BrokerRequest, BrokerResponse
from wire.metadata import StreamHeader


def metadata(first_id: int = 0, session: int = 0, agent: str = "press-1") -> object:
    return StreamHeader(agent, f"{session:032x}", first_id, 1, 1).to_metadata()


class Broker:
    """A service and its door, with calls to it."""

    def __init__(
        self,
        recorder: MemoryRecorder,
        *,
        make: Callable[[], Predictor] = Chain,
        limits: LimitsSettings | None = None,
        first_sample_s: float = 60.0,
    ) -> None:
        self.clock = ManualClock()
        self.access = Access(None, limits or LimitsSettings(), None, self.clock)
        self.lines = Lines(BlackBox(make, ""), recorder, clock=self.clock)
        self.connections = ConnectionLog(self.clock)
        self.service = Service(
            self.lines, self.access, self.connections, first_sample_s=first_sample_s
        )
        self.transport = MemoryTransport()

    def call(self, metadata: object = (), peer: str = "1.2.3.4:5") -> MemoryCall:
        return self.transport.call(METHOD_PATH, metadata, peer=peer)


@asynccontextmanager
async def serving(
    recorder: MemoryRecorder | None = None, **options: object
) -> AsyncIterator[Broker]:
    broker = Broker(recorder or MemoryRecorder(), **options)
    await broker.transport.start({METHOD_PATH: broker.service.serve})
    async with asyncio.timeout(PATIENCE_S):
        yield broker
        await broker.transport.stop(0.0)


def request(id_: int) -> bytes:
    return BrokerRequest(id=id_).SerializeToString()


async def answers(call: MemoryCall, count: int) -> list[int]:
    """The ids of the next answers; fewer at the end."""
    ids: list[int] = []
    while len(ids) < count and (messages := await call.receive()):
        ids += [BrokerResponse.FromString(message).id for message in messages]
    return ids
