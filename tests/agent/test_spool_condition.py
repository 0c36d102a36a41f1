"""What the cold tier can do: each transition that is drawn, and no other."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import ManualClock
from support.spools import Blocked, Device

from agent.spool.condition import ColdState, Condition
from quartet.errors import StoreError

UNMET, READABLE, WELL, AWAY = ColdState

EVENTS = ("opened", "written", "write_failed", "read_failed")

DRAWN = {
    (UNMET, "opened"): READABLE,
    (UNMET, "read_failed"): UNMET,
    (READABLE, "written"): WELL,
    (READABLE, "write_failed"): READABLE,
    (READABLE, "read_failed"): AWAY,
    (WELL, "written"): WELL,
    (WELL, "write_failed"): READABLE,
    (WELL, "read_failed"): AWAY,
    (AWAY, "opened"): READABLE,
    (AWAY, "read_failed"): AWAY,
}

WAYS = {
    UNMET: (),
    READABLE: ("opened",),
    WELL: ("opened", "written"),
    AWAY: ("opened", "read_failed"),
}

RETRY_S = 5.0


def in_state(state: ColdState, clock: ManualClock) -> Condition:
    condition = Condition(clock, RETRY_S)
    for event in WAYS[state]:
        getattr(condition, event)()
    assert condition.state is state
    return condition


@pytest.mark.parametrize(("state", "event"), DRAWN)
def test_each_transition_that_is_drawn_is_taken(
    state: ColdState, event: str, clock: ManualClock
) -> None:
    condition = in_state(state, clock)
    getattr(condition, event)()
    assert condition.state is DRAWN[state, event]


@pytest.mark.parametrize(
    ("state", "event"), [each for each in product(ColdState, EVENTS) if each not in DRAWN]
)
def test_no_other_transition_is_taken(state: ColdState, event: str, clock: ManualClock) -> None:
    condition = in_state(state, clock)
    before = condition.openings, condition.is_due
    with pytest.raises(RuntimeError, match="open"):
        getattr(condition, event)()
    assert condition.state is state
    assert (condition.openings, condition.is_due) == before


def test_the_diagram_names_every_state_and_every_event() -> None:
    drawing = ColdState.__doc__
    assert drawing
    for name in (*(state.name for state in ColdState), *EVENTS):
        assert name in drawing


@pytest.mark.parametrize(
    ("state", "event"), [each for each in DRAWN if each[1] in ("write_failed", "read_failed")]
)
def test_after_a_failure_a_write_is_due_when_the_time_has_passed_and_not_before(
    state: ColdState, event: str, clock: ManualClock
) -> None:
    condition = in_state(state, clock)
    getattr(condition, event)()
    clock.advance(RETRY_S - 0.01)
    assert not condition.is_due
    clock.advance(0.02)
    assert condition.is_due


def test_after_a_success_a_write_is_due_at_once(clock: ManualClock) -> None:
    condition = in_state(READABLE, clock)
    condition.write_failed()
    assert not condition.is_due
    condition.written()
    assert condition.is_due


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(EVENTS), max_size=20))
def test_openings_count_what_was_opened(events: list[str]) -> None:
    condition = Condition(ManualClock(), RETRY_S)
    opened, was_open, is_open, fails = 0, False, False, True
    for event in events:
        if (condition.state, event) not in DRAWN:
            continue
        getattr(condition, event)()
        opened += event == "opened"
        is_open = event in ("opened", "written", "write_failed")
        was_open |= is_open
        fails = event != "written"
        assert condition.openings == opened
        assert condition.state.is_open == is_open
        assert (condition.state is AWAY) == (was_open and not is_open)
        assert (condition.state is not WELL) == fails


# The tier itself


def states(device: Device, clock: ManualClock) -> tuple[ColdState, int]:
    """The state after the next retry, and how often the file was opened."""
    clock.advance(6)
    device.step()
    return device.tiers.cold_state, device.tiers.cold_openings


async def test_a_disk_that_comes_late_is_unmet_until_it_is_opened(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    assert (device.tiers.cold_state, device.tiers.cold_openings) == (READABLE, 1)
    assert states(device, clock) == (WELL, 1)
    device.close()
    late = Blocked(device.directories.cold, unreadable=True)
    device.start()
    assert states(device, clock) == (UNMET, 0)
    late.close()
    assert states(device, clock) == (WELL, 1)
    device.close()


async def test_a_disk_that_is_only_read_is_readable_until_a_write_succeeds(
    device: Device, clock: ManualClock
) -> None:
    device.start()
    block = Blocked(device.directories.cold)
    device.keep(1)
    assert states(device, clock) == (READABLE, 1)
    block.close()
    assert states(device, clock) == (WELL, 1)
    device.close()


@pytest.mark.parametrize("written", [True, False])
async def test_a_disk_that_is_not_read_is_away_until_it_is_opened_again(
    written: bool, device: Device, clock: ManualClock
) -> None:
    """From WELL, and from READABLE."""

    def fail(path: Path) -> None:
        if path.parent.name == "cold":
            raise StoreError(f"{path}: disk I/O error", path)

    device.start()
    samples = device.keep(5)
    device.close()
    device.start()
    block = None if written else Blocked(device.directories.cold)
    device.begin_session()
    samples += device.append(1)
    with device.files.meanwhile(before_read=fail):
        device.step()
    assert device.tiers.cold_state is AWAY
    assert await device.take(9) == []
    if block:
        block.close()
    assert states(device, clock) == (WELL, 2)
    assert await device.take(9) == samples
    device.close()
