"""Who may stream: by name, by list, by number, and not for longer than trusted."""

import asyncio
import logging
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
from support.clock import ManualClock

from broker.access import Access, Peer
from broker.config import LimitsSettings
from broker.errors import AccessError, CrowdedError, DeniedError
from broker.model import Code, Ending
from quartet.certificates import Certificate

ALWAYS = datetime(2000, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)


def certificate(*names: str) -> Certificate:
    return Certificate(names, 1, "ca", *ALWAYS)


class Distrust:
    """A peer of Credentials that objects to these names."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def objection(self, certificate: Certificate) -> str:
        return f"{certificate} is revoked" if self.names & set(certificate.names) else ""


def access(
    *agents: str, limits: LimitsSettings | None = None, trust: Distrust | None = None
) -> Access:
    return Access(agents or None, limits or LimitsSettings(), trust)


def peer(
    agent_id: str | None = None, shown: Certificate | None = None, address: str = "10.0.0.9:99"
) -> Peer:
    return Peer(address, shown, agent_id)


def ignore(_: Ending) -> None:
    """A stream that does not hear."""


NOBODY: tuple[str, ...] = ()
LISTED = ("press-1", "press-2")


NAMES = [
    (NOBODY, peer(), None),
    (NOBODY, peer("press-1"), None),
    (NOBODY, peer("press-1", certificate("press-1")), None),
    (NOBODY, peer("press-1", certificate("other", "press-1")), None),
    (NOBODY, peer(None, certificate("other")), None),
    (NOBODY, peer("press-1", certificate("press-2")), "names press-2, not press-1"),
    (NOBODY, peer("press-1", certificate("PRESS-1")), "names PRESS-1, not press-1"),
    (NOBODY, peer("press-1", certificate("press-11")), "names press-11, not press-1"),
    (NOBODY, peer("press-1", certificate("*")), "names *, not press-1"),
    (NOBODY, peer("press-1", certificate()), "names serial 1, not press-1"),
    (LISTED, peer("press-1"), None),
    (LISTED, peer("press-2", certificate("press-2")), None),
    (LISTED, peer(None, certificate("press-2")), None),
    (LISTED, peer("press-3"), "press-3 is not in access.agents"),
    (LISTED, peer("press-3", certificate("press-3")), "press-3 is not in access.agents"),
    (LISTED, peer("press-3", certificate("press-1", "press-3")), "press-3 is not in"),
    (LISTED, peer(None, certificate("other")), "other is not in access.agents"),
    (LISTED, peer(), "a client without a name is not in access.agents"),
]


async def test_a_rehearsal_that_is_not_listed_is_told_how_to_take_a_name() -> None:
    rehearsal = Peer("10.0.0.9:99", None, "rehearsal-pc-1", is_rehearsal=True)
    remedy = "in access.agents; give the simulation a name that is: --agent-id NAME$"
    with pytest.raises(DeniedError, match=remedy), access(*LISTED).admit(rehearsal, ignore):
        pass


@pytest.mark.parametrize(("agents", "of", "refused"), NAMES)
async def test_a_name_is_one_of_the_certificate_and_of_the_list(
    agents: tuple[str, ...], of: Peer, refused: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    door = access(*agents)
    if refused is None:
        with door.admit(of, ignore):
            pass
        assert not caplog.messages
    else:
        with pytest.raises(DeniedError, match=refused.replace("*", r"\*")), door.admit(of, ignore):
            pass
        assert refused in caplog.text


async def test_streams_are_counted_by_agent_and_in_all() -> None:
    door = access(limits=LimitsSettings(streams=5, streams_per_agent=2))
    with ExitStack() as inside:
        inside.enter_context(door.admit(peer("press-1"), ignore))
        with door.admit(peer("press-1"), ignore):
            with pytest.raises(CrowdedError, match="is reached by press-1: 2"):
                inside.enter_context(door.admit(peer("press-1"), ignore))
            inside.enter_context(door.admit(peer("press-2"), ignore))
        inside.enter_context(door.admit(peer("press-1"), ignore))
        for _ in range(2):
            inside.enter_context(door.admit(peer(), ignore))
        with pytest.raises(CrowdedError, match=r"limits\.streams is reached: 5"):
            inside.enter_context(door.admit(peer("press-3"), ignore))
    with door.admit(peer("press-3"), ignore):
        pass


async def test_nameless_streams_are_counted_by_their_certificate() -> None:
    door = access(limits=LimitsSettings(streams_per_agent=2))
    with ExitStack() as inside:
        for _ in range(2):
            inside.enter_context(door.admit(peer(None, certificate("gateway")), ignore))
        with pytest.raises(CrowdedError, match="is reached by gateway: 2"):
            inside.enter_context(door.admit(peer(None, certificate("gateway")), ignore))


async def test_who_is_trusted_no_more_is_cut_off_and_not_let_in_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trust = Distrust()
    door = access(trust=trust)
    ended: list[Ending] = []
    with (
        door.admit(peer("press-1", certificate("press-1")), ended.append),
        door.admit(peer("press-2", certificate("press-2")), ended.append),
    ):
        door.sweep()
        assert not ended
        trust.names = {"press-1"}
        door.sweep()
        assert ended == [Ending(Code.PERMISSION_DENIED, "press-1 is revoked")]
    assert caplog.messages == ["press-1 at 10.0.0.9:99 is cut off: press-1 is revoked"]
    with (
        pytest.raises(DeniedError, match="is revoked"),
        door.admit(peer("press-1", certificate("press-1")), ignore),
    ):
        pass


async def test_a_stream_that_does_not_end_in_order_is_ended_by_force_after_5_s() -> None:
    trust, clock = Distrust(), ManualClock()
    door = Access(None, LimitsSettings(), trust, clock)
    ended: list[Ending] = []

    async def stay() -> None:
        with door.admit(peer("press-1", certificate("press-1")), ended.append):
            await asyncio.Event().wait()

    staying = asyncio.create_task(stay())
    await asyncio.sleep(0)
    trust.names = {"press-1"}
    for _ in range(3):  # whoever asks, and how often
        door.sweep()
        door.admit_only(None)
        clock.advance(1.6)
        await asyncio.sleep(0)
        assert not staying.done()
    clock.advance(0.3)
    door.sweep()
    with pytest.raises(asyncio.CancelledError):
        await staying
    assert len(ended) == 1


async def test_a_refused_agent_that_tries_for_days_is_said_once_an_hour(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    caplog.set_level(logging.WARNING)
    door = Access({"press-1"}, LimitsSettings(), None, clock)
    for port in range(500):
        clock.advance(30.0)
        with (
            pytest.raises(AccessError),
            door.admit(peer("press-9", address=f"1.2.3.4:{port}"), ignore),
        ):
            pass
    assert len(caplog.messages) == 5


async def test_those_who_are_refused_cost_no_memory_without_end() -> None:
    door = access("press-1")
    for number in range(3000):
        with pytest.raises(AccessError), door.admit(peer(f"press-9{number}"), ignore):
            pass
    assert len(door._said) == 1000  # noqa: SLF001 - nothing else shows it
