"""Each reason to end a call, in each phase of a call: what the peer hears, and what is left."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from support.certificates import Ca
from support.endings import REASONS, Reason
from support.patience import PATIENCE_S
from support.scene import AGENT, Caller, Phase, Scene, header, request

from broker.model import Code, Ending
from broker.recorder.memory import MemoryRecorder
from broker.transport.h2.transport import H2Transport
from broker.transport.memory import MemoryCall, MemoryTransport, Metadata
from quartet.address import Address
from wire import METHOD_PATH
from wire.databroker_pb2 import BrokerResponse

HALF_A_HEADER = (("agent-id", AGENT),)


class InMemory:
    """The peer's end of a call without sockets."""

    def __init__(self, call: MemoryCall) -> None:
        self._call = call
        self.send = call.send
        self.ending = call.ending
        self.vanish = call.cancel
        self.lose = call.lose

    async def done_sending(self) -> None:
        self._call.done_sending()

    async def receive(self) -> list[bytes]:
        return [*await self._call.receive()]


class OverGrpc:
    """The peer's end of a call over a socket."""

    def __init__(self, call: "grpc.aio.StreamStreamCall[bytes, bytes]") -> None:
        self._call = call
        self.vanish = self.lose = call.cancel

    async def send(self, *messages: bytes) -> None:
        for message in messages:
            await self._call.write(message)

    async def done_sending(self) -> None:
        await self._call.done_writing()

    async def receive(self) -> list[bytes]:
        try:
            message = await self._call.read()
        except grpc.RpcError:
            return []
        return [message] if isinstance(message, bytes) else []

    async def ending(self) -> Ending:
        code = Code((await self._call.code()).value[0])
        trailing = tuple(tuple(pair) for pair in await self._call.trailing_metadata())
        return Ending(code, await self._call.details(), trailing)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    ca = Ca(tmp_path_factory.mktemp("ca"))
    return Path(ca.issue(AGENT).certificate).read_bytes()


@asynccontextmanager
async def in_memory(scene: Scene, certificate: bytes) -> AsyncIterator[None]:
    transport = MemoryTransport(pause_at=2)  # so that a write waits for who does not read
    await transport.start({METHOD_PATH: scene.service.serve})

    def open_call(metadata: Metadata) -> Caller:
        call = transport.call(METHOD_PATH, metadata, peer="1.2.3.4:5", certificate=certificate)
        return InMemory(call)

    scene.open_call, scene.stop_transport = open_call, transport.stop
    yield
    await transport.stop(0.0)


@asynccontextmanager
async def over_grpc(scene: Scene, _: bytes) -> AsyncIterator[None]:
    transport = H2Transport(Address("127.0.0.1", 0), None)
    port = await transport.start({METHOD_PATH: scene.service.serve})
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:

        def open_call(metadata: Metadata) -> Caller:
            return OverGrpc(channel.stream_stream(METHOD_PATH)(metadata=tuple(metadata)))

        scene.open_call, scene.stop_transport = open_call, transport.stop
        yield
    await transport.stop(0.0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody tells of."""
    while not condition():  # noqa: ASYNC110 - as it says
        await asyncio.sleep(0.001)


async def receive(scene: Scene, count: int) -> list[int]:
    """The ids of the next answers; fewer at the end."""
    ids: list[int] = []
    while len(ids) < count and (messages := await scene.call.receive()):
        ids += [BrokerResponse.FromString(message).id for message in messages]
    return ids


async def come_to(scene: Scene, phase: Phase, metadata: Metadata) -> list[int]:
    """Open the call and have it in a phase; the ids of the answers that were read."""
    scene.phase = phase
    scene.recorder.closed_at = {Phase.OPENING: "claim", Phase.COMMIT: "commit"}.get(phase)
    scene.call = scene.open_call(metadata)
    if phase is Phase.FIRST:
        await until(lambda: scene.recorder.claims == 1)
        for _ in range(10):
            await asyncio.sleep(0)
        return []
    await scene.call.send(*map(request, phase.received))
    match phase:
        case Phase.OPENING:
            await scene.recorder.reached.wait()
            await until(lambda: scene.has_unread)
        case Phase.BETWEEN:
            return await receive(scene, 1)
        case Phase.COMMIT:
            await scene.recorder.reached.wait()
        case Phase.WRITING:
            await until(lambda: scene.recorder.recorded == 3)
            for _ in range(10):
                await asyncio.sleep(0)
    return []


async def look(scene: Scene, reason: Reason, phase: Phase) -> None:
    """Have a reason end a call in a phase, and look at all that came of it."""
    metadata = header().to_metadata()
    if reason.name == "metadata that is not a header":
        metadata = HALF_A_HEADER
    if reason.name == "one stream too many":
        scene.others.append(scene.open_call(()))
        await until(lambda: scene.access.streams == 1)
    ids = await come_to(scene, phase, metadata)
    await reason.act(scene)
    await asyncio.sleep(0)
    scene.recorder.opened.set()
    if reason.is_heard:
        ids += await receive(scene, 99)
        ending = await scene.call.ending()
        assert ids == [*reason.answered.get(phase, phase.received)]
        assert (ending.code, ending.trailing) == (reason.code, reason.trailing(phase))
    scene.recorder.defect = None
    recorder = MemoryRecorder(scene.memory)
    claim = await recorder.claim(header(), "")
    on_record = {answer.id for answer in await recorder.answers(claim, 0, 99)}
    recorder.release(claim)
    assert on_record >= {*ids}
    for other in scene.others:
        other.vanish()


def scene_for(reason: Reason) -> Scene:
    match reason.name:
        case "no first sample in time":
            return Scene(first_sample_s=0.05)
        case "one stream too many":
            return Scene(streams=1)
    return Scene()


def cases(reasons: Sequence[Reason], *phases: Phase) -> list[object]:
    """Each reason in each phase; what cannot be is skipped, and the reason told."""
    return [
        pytest.param(
            *(reason, phase),
            id=f"{reason.name}, {phase.value[0]}",
            marks=[pytest.mark.skip(f"cannot be: {why}")]
            if (why := reason.impossible.get(phase))
            else [],
        )
        for reason in reasons
        for phase in phases
    ]


@pytest.mark.parametrize(("reason", "phase"), cases(REASONS, *Phase))
async def test_a_call_ends_for_each_reason_in_each_phase(
    reason: Reason, phase: Phase, certificate: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    scene = scene_for(reason)
    tasks = asyncio.all_tasks()
    async with asyncio.timeout(PATIENCE_S), in_memory(scene, certificate):
        await look(scene, reason, phase)
        await until(lambda: scene.is_left)
    assert asyncio.all_tasks() == tasks
    tracebacks = [each.getMessage() for each in caplog.records if each.exc_info]
    assert bool(tracebacks) is reason.is_defect, tracebacks


def test_the_list_is_the_one_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs/development/architecture.md").read_text()
    section = page.partition("### Call endings")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:1] == "|"]
    told = {row[0]: row[2] for row in rows[2:]}
    assert told == {reason.name: told_status(reason) for reason in REASONS}
    assert all(phase.value[0] in " ".join(section.split()) for phase in Phase)


def told_status(reason: Reason) -> str:
    keys = ", ".join(f"`{key}`" for key, _ in reason.trailing(Phase.BETWEEN))
    return ", ".join(filter(None, (reason.code.name if reason.is_heard else "not heard", keys)))


# Over a socket

REACHABLE = (Phase.OPENING, Phase.FIRST, Phase.BETWEEN, Phase.COMMIT)
"""Nothing tells when a call is about to be admitted; and gRPC's buffers take all answers."""

_NOT_ALIKE = (
    *("the certificate is revoked", "the certificate expires"),
    "a write finds the connection broken",
)
ALIKE = [reason for reason in REASONS if reason.name not in _NOT_ALIKE]
"""Without TLS there is no certificate; and where a write breaks, the peer has vanished."""


@pytest.mark.parametrize(("reason", "phase"), cases(ALIKE, *REACHABLE))
async def test_a_call_over_a_socket_ends_alike(
    reason: Reason, phase: Phase, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    scene = scene_for(reason)
    async with asyncio.timeout(PATIENCE_S), over_grpc(scene, b""):
        await look(scene, reason, phase)
        await until(lambda: scene.is_left)
    tracebacks = [each.getMessage() for each in caplog.records if each.exc_info]
    assert bool(tracebacks) is reason.is_defect, tracebacks
