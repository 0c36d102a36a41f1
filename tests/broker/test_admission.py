"""The second service: whether a stream would be admitted, without opening one."""

import asyncio
from contextlib import AbstractContextManager

import pytest
from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.pupil import Pupil
from support.store import OpenLines

from broker.access import Access, Peer
from broker.config import LimitsSettings
from broker.model import Code, Ending
from broker.states import States
from broker.transport.memory import MemoryTransport, Metadata
from wire import ADMISSION_METHOD_PATH


async def asked(access: Access, metadata: Metadata = (("agent-id", "press-1"),)) -> Ending:
    """How the question ends."""
    transport = MemoryTransport()
    states = States(OpenLines(Pupil), access)
    await transport.start({ADMISSION_METHOD_PATH: states.serve_admission})
    async with asyncio.timeout(PATIENCE_S):
        call = transport.call(ADMISSION_METHOD_PATH, metadata)
        await call.send(b"")
        call.done_sending()
        assert bool(await call.receive()) is ((await call.ending()).code is Code.OK)
        ending = await call.ending()
        await transport.stop(0.0)
    return ending


def access(*agents: str, streams: int = 1) -> Access:
    return Access(agents or None, LimitsSettings(streams=streams), None, ManualClock())


def admitted(access: Access, agent_id: str, endings: list[Ending]) -> AbstractContextManager[None]:
    """A stream of this agent, while entered."""
    return access.admit(Peer("127.0.0.1:1", None, agent_id), endings.append)


async def test_an_agent_that_would_be_admitted_is_told_so_and_nothing_is_opened() -> None:
    door = access("press-1")
    assert (await asked(door)).code is Code.OK
    assert door.streams == 0


async def test_who_is_not_listed_is_told_as_its_stream_would_be() -> None:
    ending = await asked(access("press-2"))
    assert ending == Ending(Code.PERMISSION_DENIED, "press-1 is not in access.agents")


async def test_a_running_agent_keeps_its_stream_and_has_room_for_the_next() -> None:
    door, endings = access(streams=1), list[Ending]()
    with admitted(door, "press-1", endings):
        assert (await asked(door)).code is Code.OK
        assert door.streams == 1
    assert endings == []


async def test_another_agent_hears_that_there_is_no_room() -> None:
    door = access(streams=1)
    with admitted(door, "press-2", []):
        ending = await asked(door)
    assert ending == Ending(Code.RESOURCE_EXHAUSTED, "limits.streams is reached: 1")


@pytest.mark.parametrize("metadata", [(), (("agent-id", "press 1"),)])
async def test_who_says_no_name_is_told_so(metadata: Metadata) -> None:
    assert (await asked(access(), metadata)).code is Code.INVALID_ARGUMENT
