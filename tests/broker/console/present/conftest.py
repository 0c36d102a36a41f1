"""A fleet that a console looks at."""

import pytest
from support.present import Site


@pytest.fixture
def site() -> Site:
    return Site()
