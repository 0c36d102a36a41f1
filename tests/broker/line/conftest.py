"""A log that is quiet while lines are tested."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A black box that raises is logged with its traceback: thousands of them here."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
