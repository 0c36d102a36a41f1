"""A device whose disk thread is stepped by hand, for the tests of the spool."""

from collections.abc import Iterator

import pytest
from support.spools import Clock, Device, home_in_ram


@pytest.fixture
def clock() -> Iterator[Clock]:
    with Clock().set_up() as clock:
        yield clock


@pytest.fixture
def device(clock: Clock) -> Iterator[Device]:
    assert clock.now_s
    with home_in_ram() as home:
        yield Device(home)
