"""Spools for their tests: a device whose disk thread is stepped by hand, and others."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from support.clock import ManualClock
from support.spools import Device, home_in_ram
from support.starts import Starts


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def device(clock: ManualClock) -> Iterator[Device]:
    with home_in_ram() as home:
        yield Device(home, clock=clock)


@pytest.fixture
def starts() -> Iterator[Starts]:
    with home_in_ram() as home, ExitStack() as leaving:
        yield Starts(home, leaving)
