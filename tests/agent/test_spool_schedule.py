"""When the cold tier is written, and when it is left alone."""

import pytest
from support.clock import ManualClock
from support.spools import rooms

from agent.spool.row import AFTER_ALL, Key
from agent.spool.schedule import WriteSchedule

FIRST, LATER = Key(1, 0), Key(1, 50)


@pytest.fixture
def schedule(clock: ManualClock) -> WriteSchedule:
    settings = rooms(ram=100, spill_after_s=2.0)
    return WriteSchedule(settings, clock=clock, most_undeleted=10)


def test_without_a_sample_the_accounts_are_flushed_each_hour(
    schedule: WriteSchedule, clock: ManualClock
) -> None:
    clock.advance(3599)
    assert not schedule.flush_is_due(0)
    clock.advance(1)
    assert schedule.flush_is_due(0)
    schedule.tried()
    schedule.flushed()
    assert not schedule.flush_is_due(0)
    clock.advance(3600)
    assert schedule.flush_is_due(0)


def test_a_flush_that_failed_is_due_again(schedule: WriteSchedule, clock: ManualClock) -> None:
    schedule.committed(FIRST)
    clock.advance(2)
    schedule.tried()
    assert schedule.flush_is_due(1)


def test_a_sample_is_flushed_at_its_age_unless_it_is_settled(
    schedule: WriteSchedule, clock: ManualClock
) -> None:
    schedule.committed(FIRST)
    clock.advance(1.5)
    schedule.committed(LATER)
    assert not schedule.flush_is_due(2)
    clock.advance(0.5)
    assert schedule.flush_is_due(2)
    schedule.settled_before(LATER)
    assert not schedule.flush_is_due(2)
    clock.advance(1.5)
    assert schedule.flush_is_due(2)
    schedule.settled_before(AFTER_ALL)
    assert not schedule.flush_is_due(2)


def test_ram_that_is_half_full_is_flushed(schedule: WriteSchedule) -> None:
    assert not schedule.flush_is_due(49)
    assert schedule.flush_is_due(50)


def test_a_flush_that_is_asked_for_is_due_until_it_succeeds(schedule: WriteSchedule) -> None:
    schedule.flush_soon()
    assert schedule.flush_is_due(0)
    schedule.tried()
    assert schedule.flush_is_due(0)
    schedule.flushed()
    assert not schedule.flush_is_due(0)


def test_settled_samples_are_deleted_each_second_or_when_there_are_many(
    schedule: WriteSchedule, clock: ManualClock
) -> None:
    assert not schedule.delete_is_due(9)
    assert schedule.delete_is_due(10)
    clock.advance(1)
    assert schedule.delete_is_due(1)
    assert not schedule.delete_is_due(0)
    schedule.tried()
    assert not schedule.delete_is_due(1)
