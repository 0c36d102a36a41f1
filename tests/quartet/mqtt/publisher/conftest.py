"""A port for an MQTT server, and no sockets left over."""

import gc
import warnings
from collections.abc import Iterator

import pytest
from support.ports import kept_port


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def port() -> Iterator[int]:
    with kept_port() as number:
        yield number
