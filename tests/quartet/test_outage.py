import logging

import pytest
from support.clock import ManualClock

from quartet.outage import Outage

LOG = logging.getLogger("test.outage")


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(record.levelno, record.getMessage()) for record in caplog.records]


def test_logs_the_first_failure_and_the_recovery_with_its_length(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    clock = ManualClock()
    outage = Outage(LOG, clock)
    for reason in ("full", "full", "read-only"):
        outage.failed("disk: %s", reason)
        clock.advance(2.0)
    outage.ended("%s can be written again", "disk")
    assert said(caplog) == [
        (logging.ERROR, "disk: full"),
        (logging.DEBUG, "disk: full"),
        (logging.DEBUG, "disk: read-only"),
        (logging.INFO, "disk can be written again, after 6.0 s"),
    ]
    assert outage.failures == 3


def test_success_without_failure_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    outage = Outage(LOG, ManualClock())
    outage.ended("works")
    assert not caplog.records
    assert not outage.is_on


def test_each_outage_is_logged_at_its_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    clock = ManualClock()
    outage = Outage(LOG, clock, level=logging.WARNING)
    for _ in range(2):
        outage.failed("no link")
        assert outage.is_on
        outage.ended("linked")
        assert not outage.is_on
    levels = [level for level, _ in said(caplog)]
    assert levels == [logging.WARNING, logging.INFO] * 2


def test_an_outage_that_begins_at_time_zero_ends_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage = Outage(LOG, ManualClock(now_s=0.0))
    outage.failed("down")
    outage.ended("up")
    assert [message for _, message in said(caplog)] == ["down", "up, after 0.0 s"]


def test_an_outage_whose_beginning_is_logged_elsewhere_counts_from_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    clock = ManualClock()
    outage = Outage(LOG, clock, level=logging.WARNING)
    outage.begin()
    assert outage.is_on
    assert not caplog.records
    clock.advance(2.0)
    outage.failed("no link")
    clock.advance(1.0)
    outage.begin()
    outage.failed("no link")
    outage.ended("linked")
    assert said(caplog) == [
        (logging.WARNING, "no link"),
        (logging.DEBUG, "no link"),
        (logging.INFO, "linked, after 3.0 s"),
    ]
    assert outage.failures == 4
    outage.failed("no link")
    assert said(caplog)[-1] == (logging.WARNING, "no link")
