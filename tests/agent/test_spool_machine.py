"""Whatever happens in whatever order: nothing is lost, given twice, out of order or miscounted."""

from collections.abc import Callable
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.clock import ManualClock
from support.spool_model import Model
from support.spools import (
    Device,
    home_in_ram,
    rooms,
)

from agent.config import SpoolSettings

PLENTY = 2**20

few = settings(derandomize=True, deadline=None, max_examples=60)

# What there is to do, the more often the more common.
ORDINARY = [
    *(("keep", count) for count in (1, 2, 3, 5, 9)),
    *(("keep", count) for count in (1, 4, 9)),
    *(("append", 3), ("step", 0)),
    *(("read", limit) for limit in (1, 3, 9)),
    *(("settle", 0), ("settle", 1), ("give up", 2), ("answer all", 0), ("answer all", 0)),
    *(("rewind", 0), ("wait", 0.6), ("wait", 2.6), ("wait", 6.0), ("wait", 4000.0)),
]
DISTURBANCES = [
    *(("new session", 0), ("close", 0), ("kill", 0), ("cut power", 0), ("kill blind", 0)),
    *(("cut power blind", 0), ("fail cold", 0), ("fail hot", 0), ("recover", 0)),
    *((f"trip {which}", after) for which in ("cold", "hot") for after in (0, 1, 2)),
]
operations = st.lists(st.sampled_from(ORDINARY + DISTURBANCES), min_size=15, max_size=40)
configurations = st.builds(
    rooms,
    disk=st.sampled_from([PLENTY, 10, 25]),
    ram=st.sampled_from([PLENTY, PLENTY, 8]),
    when_full=st.sampled_from(["drop_oldest", "refuse_new"]),
    durability=st.sampled_from(["ram", "ram", "disk"]),
)

Step = tuple[str, Any]


async def play(script: list[Step], model: Model) -> None:
    for operation, argument in script:
        which, _, how = operation.partition(" ")
        match which:
            case "keep":
                model.append(argument)
                model.step()
                await model.check_liveness()
            case "wait":
                model.clock.advance(argument)
                model.step()
            case "read":
                await model.read(argument)
            case "settle" | "give":
                model.settle(argument, answered=which == "settle")
            case _:
                SIMPLE[which](model, argument, how)


SIMPLE: dict[str, Callable[[Model, Any, str], None]] = {
    "append": lambda model, number, _: model.append(number),
    "step": lambda model, *_: model.step(),
    "rewind": lambda model, *_: model.rewind(),
    "new": lambda model, *_: model.new_session(),
    "close": lambda model, *_: model.close(),
    "recover": lambda model, *_: model.recover(),
    "answer": lambda model, *_: model.answer_all(),
    "fail": lambda model, _, tier: model.fail(tier),
    "trip": lambda model, after, tier: model.trip(tier, after),
    "kill": lambda model, _, how: model.kill(blind=how == "blind"),
    "cut": lambda model, _, how: model.cut_power(blind=how == "power blind"),
}


async def play_to_the_end(model: Model) -> None:
    """All that waits is given in order, and then nothing waits."""
    model.recover()
    model.rewind()
    for _ in range(2):
        model.append(1)
        model.clock.advance(6)
        model.step()
    while left := len(model.waiting):
        await model.check_liveness()
        await model.read(1000)
        model.answer_all()
        model.step()
        assert len(model.waiting) < left
    model.close()
    model.step()
    assert await model.device.take(1) == []
    assert not any(entry.waiting for entry in model.device.ledger().sessions)
    model.device.tiers.close()


FAILED_AND_FULL = [("keep", 9), ("fail cold", 0), ("keep", 4), ("keep", 5), ("keep", 5)]
BLIND_AFTER_A_POWER_CUT = [
    *[("keep", 3), ("new session", 0), ("keep", 3), ("close", 0), ("keep", 3)],
    *[("cut power blind", 0), ("keep", 3), ("recover", 0), ("wait", 6.0), ("kill", 0)],
]
SETTLED_AND_KILLED = [
    *[("keep", 9), ("close", 0), ("step", 0), ("read", 5), ("answer all", 0), ("step", 0)],
    *[("kill", 0), ("fail cold", 0), ("keep", 2), ("read", 9), ("wait", 6.0)],
]
BLIND_AND_THEN_READ_ONLY = [
    *[("keep", 9), ("kill blind", 0), ("recover", 0), ("fail cold", 0), ("wait", 6.0), ("keep", 1)],
]

GIVEN_AND_KILLED = [
    *[("keep", 3), ("append", 3), ("kill", 0), ("keep", 2), ("new session", 0), ("append", 2)],
    *[("kill blind", 0), ("keep", 1), ("append", 1), ("kill", 0), ("recover", 0), ("wait", 6.0)],
]
THROUGH_AND_KILLED = [
    *[("keep", 9), ("read", 5), ("fail hot", 0), ("keep", 4), ("answer all", 0), ("keep", 1)],
    *[("append", 2), ("kill", 0), ("keep", 2), ("fail hot", 0), ("fail cold", 0), ("keep", 2)],
    *[("kill", 0), ("keep", 2)],
]


TRIPPED_AND_KILLED_TWICE = [
    *[("keep", 3), ("kill blind", 0), ("trip hot", 0), ("keep", 1), ("kill blind", 0)],
]


@few
@given(operations, configurations)
@example(GIVEN_AND_KILLED, rooms())
@example(THROUGH_AND_KILLED, rooms())
@example(TRIPPED_AND_KILLED_TWICE, rooms())
@example(FAILED_AND_FULL, rooms(disk=10, ram=8))
@example(BLIND_AFTER_A_POWER_CUT, rooms())
@example(SETTLED_AND_KILLED, rooms())
@example(BLIND_AND_THEN_READ_ONLY, rooms())
async def test_any_operations_agree_with_the_model(
    script: list[Step], configuration: SpoolSettings
) -> None:
    with home_in_ram() as home:
        clock = ManualClock()
        device = Device(
            home, configuration, clock=clock, most_ready=8, few_ready=4, most_undeleted=6
        )
        model = Model(device, clock)
        await play(script, model)
        await play_to_the_end(model)
