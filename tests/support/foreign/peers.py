"""Places for foreign text: what the other side of a call says."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from support.foreign.place import EVIL, Evil, Place
from support.patience import PATIENCE_S
from support.peers import Peer, scripted_broker
from support.spools import home_in_ram

from agent.config import LinkSettings, SpoolSettings
from agent.credentials import Plaintext
from agent.link import Link
from agent.model import Identity, Reading
from agent.spool.directories import Directories
from agent.spool.spool import Spool
from broker.access import Access
from broker.config import LimitsSettings
from broker.healthcheck import problem
from broker.lines import Lines
from broker.predictors import BlackBox
from broker.recorder.memory import MemoryRecorder
from broker.service import Service
from broker.transport.memory import MemoryTransport
from quartet.address import Address
from wire import METHOD_PATH


async def metadata_of_a_call(place: Place) -> None:
    access = Access(None, LimitsSettings(), None)
    service = Service(Lines(BlackBox(Evil, ""), MemoryRecorder()), access)
    transport = MemoryTransport()
    await transport.start({METHOD_PATH: service.serve})
    keys = ("agent-id", "session-id", "first-id", "first-sampled-at-ns", "sample-period-ns")
    place.add((await transport.call(METHOD_PATH, [(key, EVIL) for key in keys]).ending()).reason)
    await transport.stop(0)


async def status_of_a_broker(place: Place) -> None:
    async def refuse(peer: Peer) -> None:
        await peer.abort(grpc.StatusCode.PERMISSION_DENIED, EVIL, superseded_by="seen")

    await _stream_to(refuse, place)


async def unavailable_broker(place: Place) -> None:
    async def refuse(peer: Peer) -> None:
        await peer.abort(grpc.StatusCode.UNAVAILABLE, EVIL)

    await _stream_to(refuse, place)


async def refusal_of_a_sample(place: Place) -> None:
    async def refuse(peer: Peer) -> None:
        await peer.read()
        await peer.abort(grpc.StatusCode.OUT_OF_RANGE, EVIL, refused_id="0")

    await _stream_to(refuse, place)


async def _stream_to(script: Callable[[Peer], Awaitable[None]], place: Place) -> None:
    with home_in_ram() as home:
        directories = Directories(home / "hot", home / "cold")
        directories.hot.mkdir()
        directories.cold.mkdir()
        spool = Spool(directories, SpoolSettings(), 0)
        async with scripted_broker(script) as port:
            link = Link(
                Identity("press-1"),
                [Address("127.0.0.1", port)],
                LinkSettings(),
                spool,
                lambda _: None,
                credentials=Plaintext(),
            )
            spool.append(Reading((1.0, 2.0, 3.0, 4.0), 0))
            told = asyncio.Event()
            handler = logging.Handler()
            handler.emit = (  # type: ignore[method-assign]
                # A call that ends while it is opened may end in gRPC's own words. It comes again.
                lambda record: told.set() if "see" in record.getMessage() else None
            )
            logging.getLogger("agent.link").addHandler(handler)
            running = asyncio.create_task(link.run())
            async with asyncio.timeout(PATIENCE_S):
                await told.wait()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            logging.getLogger("agent.link").removeHandler(handler)
            place.add(link.trouble)
        spool.close()


class _EvilHealth(health.HealthServicer):
    def Check(self, _: object, context: grpc.ServicerContext) -> None:  # noqa: N802
        context.abort(grpc.StatusCode.INTERNAL, EVIL)


def health_of_another_server(place: Place) -> None:
    from concurrent.futures import ThreadPoolExecutor

    server = grpc.server(ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(_EvilHealth(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    place.add(problem(Address("127.0.0.1", port)))
    server.stop(None).wait()
