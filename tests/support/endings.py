"""Everything that can end a call of the stream, and what its peer hears in each phase.

A reason that is new belongs into REASONS; docs/development/architecture.md has the same list.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from support.scene import AGENT, RAISES_AT, Phase, Scene, header, request

from broker.errors import RecordError
from broker.model import Code
from broker.recorder.memory import MemoryRecorder

Act = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True)
class Reason:
    """One thing that can end a call."""

    name: str
    act: Act
    code: Code
    trailing: Callable[[Phase], tuple[tuple[str, str], ...]] = lambda _: ()
    impossible: dict[Phase, str] = field(default_factory=dict)
    answered: dict[Phase, tuple[int, ...]] = field(default_factory=dict)
    """Where other ids are answered than those that were received."""
    is_defect: bool = False
    """Whether its traceback is logged: that of the user's code, or of a mistake of ours."""
    is_heard: bool = True
    """Whether the peer is there to hear it."""


def _but(why: str, *possible: Phase) -> dict[Phase, str]:
    return {phase: why for phase in Phase if phase not in possible}


async def _delist(scene: Scene) -> None:
    scene.access.admit_only({"press-9"})


async def _revoke(scene: Scene) -> None:
    scene.trust.reason = f"the certificate of {AGENT} is revoked"
    scene.access.sweep()


async def _expire(scene: Scene) -> None:
    scene.trust.reason = f"the certificate of {AGENT} has expired"
    scene.access.sweep()


async def _stop(scene: Scene) -> None:
    scene.service.stop()


async def _supersede(scene: Scene) -> None:
    scene.others.append(scene.open_call(header(session=9).to_metadata()))


async def _half_close(scene: Scene) -> None:
    await scene.call.done_sending()


async def _vanish(scene: Scene) -> None:
    scene.call.vanish()


async def _lose(scene: Scene) -> None:
    scene.call.lose()
    if scene.phase in (Phase.FIRST, Phase.BETWEEN):
        await scene.send_next()


async def _wait_for_first_sample(_: Scene) -> None:
    pass


async def _send_bad_id(scene: Scene) -> None:
    await scene.call.send(request(_bad_id(scene.phase)))


def _bad_id(phase: Phase) -> int:
    """Not the first id, or one that was sent."""
    return 1 if phase is Phase.FIRST else 0


async def _send_garbage(scene: Scene) -> None:
    await scene.call.send(b"\xff\xff")


async def _resend_what_is_pruned(scene: Scene) -> None:
    """As if an earlier stream of the session had come further, and its answers were gone."""
    line = scene.lines._lines[AGENT]  # noqa: SLF001 - nobody else has it
    line._sessions[header().session_id].last_id = 50  # noqa: SLF001
    await scene.send_next()


async def _send_what_raises(scene: Scene) -> None:
    await scene.call.send(request(scene.phase.next_id, RAISES_AT))


async def _fail_commit(scene: Scene) -> None:
    scene.recorder.fail_commits()
    if scene.phase is not Phase.COMMIT:
        await scene.send_next()


async def _take(scene: Scene, session: int) -> None:
    other = MemoryRecorder(scene.memory)
    claim = await other.claim(header(session, 1), "2.2.2.2:2")
    other.release(claim)
    if scene.phase is not Phase.COMMIT:
        await scene.send_next()


async def _take_same(scene: Scene) -> None:
    await _take(scene, 0)


async def _take_other(scene: Scene) -> None:
    await _take(scene, 3)


async def _refuse_claim(scene: Scene) -> None:
    scene.recorder.claim_error = RecordError("the broker cannot read its records: torn")


async def _crowd(scene: Scene) -> None:
    """The limit is one, and another call has it."""


async def _break_header(_: Scene) -> None:
    """The call was opened with half a header."""


async def _cut(scene: Scene) -> None:
    await _delist(scene)
    scene.clock.advance(5.0)
    scene.access.sweep()


async def _cut_at_stop(scene: Scene) -> None:
    scene.service.stop()
    await scene.stop_transport(0.0)


async def _break_down(scene: Scene) -> None:
    scene.recorder.defect = LookupError("a mistake of ours")
    if scene.phase in (Phase.FIRST, Phase.BETWEEN, Phase.WRITING):
        await scene.send_next()


_AT_ADMISSION = "it is looked at when a call is admitted, and then no more"
_NO_LEASE = "there is no lease yet: a later claim wins, and one that fails is a reason of its own"
_NOT_HELD_UP = "the handler waits for nothing that could last: it ends in good order"

_P = Phase

REASONS = [
    Reason("off the list", _delist, Code.PERMISSION_DENIED, answered={_P.ADMISSION: ()}),
    Reason(
        "the certificate is revoked", _revoke, Code.PERMISSION_DENIED, answered={_P.ADMISSION: ()}
    ),
    Reason("the certificate expires", _expire, Code.PERMISSION_DENIED, answered={_P.ADMISSION: ()}),
    Reason("the broker stops", _stop, Code.UNAVAILABLE),
    Reason("superseded", _supersede, Code.ABORTED, lambda _: (("superseded-by", f"{9:032x}"),)),
    Reason("the peer closes its side", _half_close, Code.OK),
    Reason(
        "the peer vanishes",
        _vanish,
        Code.UNAVAILABLE,
        is_heard=False,
    ),
    Reason(
        "a write finds the connection broken",
        _lose,
        Code.UNAVAILABLE,
        is_heard=False,
    ),
    Reason(
        "no first sample in time",
        _wait_for_first_sample,
        Code.DEADLINE_EXCEEDED,
        impossible=_but("its time runs only while the first sample is waited for", _P.FIRST),
    ),
    Reason(
        "an id out of order",
        _send_bad_id,
        Code.INVALID_ARGUMENT,
        lambda phase: (("refused-id", str(_bad_id(phase))),),
    ),
    Reason("a message that cannot be read", _send_garbage, Code.INVALID_ARGUMENT),
    Reason(
        "a resent id whose answer is pruned",
        _resend_what_is_pruned,
        Code.OUT_OF_RANGE,
        lambda phase: (("refused-id", str(phase.next_id)),),
        impossible=dict.fromkeys(
            (_P.ADMISSION, _P.OPENING), "an id is resent once its session's last id is known"
        ),
    ),
    Reason(
        "the predictor raises",
        _send_what_raises,
        Code.INTERNAL,
        lambda phase: (("refused-id", str(phase.next_id)),),
        is_defect=True,
    ),
    Reason(
        "a commit fails",
        _fail_commit,
        Code.UNAVAILABLE,
        impossible={_P.ADMISSION: _NO_LEASE, _P.OPENING: _NO_LEASE},
        answered={_P.COMMIT: ()},
    ),
    Reason(
        "another owner claims the line with this session",
        _take_same,
        Code.UNAVAILABLE,
        impossible={_P.ADMISSION: _NO_LEASE, _P.OPENING: _NO_LEASE},
        answered={_P.COMMIT: ()},
    ),
    Reason(
        "another owner claims the line with another session",
        _take_other,
        Code.ABORTED,
        lambda _: (("superseded-by", f"{3:032x}"),),
        impossible={_P.ADMISSION: _NO_LEASE, _P.OPENING: _NO_LEASE},
        answered={_P.COMMIT: ()},
    ),
    Reason(
        "the line cannot be claimed",
        _refuse_claim,
        Code.UNAVAILABLE,
        impossible=_but("it is claimed when the line opens", _P.ADMISSION, _P.OPENING),
        answered={_P.ADMISSION: (), _P.OPENING: ()},
    ),
    Reason(
        "one stream too many",
        _crowd,
        Code.RESOURCE_EXHAUSTED,
        impossible=_but(_AT_ADMISSION, _P.ADMISSION),
        answered={_P.ADMISSION: ()},
    ),
    Reason(
        "metadata that is not a header",
        _break_header,
        Code.INVALID_ARGUMENT,
        impossible=_but(_AT_ADMISSION, _P.ADMISSION),
        answered={_P.ADMISSION: ()},
    ),
    Reason(
        "cut by force",
        _cut,
        Code.PERMISSION_DENIED,
        impossible={
            _P.ADMISSION: _AT_ADMISSION,
            _P.FIRST: _NOT_HELD_UP,
            _P.BETWEEN: _NOT_HELD_UP,
        },
        answered={_P.OPENING: (), _P.COMMIT: (), _P.WRITING: (0, 1)},
    ),
    Reason(
        "cut by force at a stop",
        _cut_at_stop,
        Code.UNAVAILABLE,
        answered={_P.ADMISSION: (), _P.OPENING: (), _P.COMMIT: (), _P.WRITING: (0, 1)},
    ),
    Reason(
        "a mistake of ours",
        _break_down,
        Code.INTERNAL,
        answered={_P.ADMISSION: (), _P.OPENING: (), _P.COMMIT: ()},
        is_defect=True,
    ),
]
"""The one list of all that can end a call."""
