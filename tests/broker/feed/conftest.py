"""A fleet that is followed."""

import pytest
from support.feed import Site


@pytest.fixture
def site() -> Site:
    return Site()
