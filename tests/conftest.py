"""What tests of more than one room share."""

from pathlib import Path

import pytest


@pytest.fixture
def dataset() -> Path:
    """The shipped CSV: 982 rows."""
    return Path(__file__).parents[1] / "dataset" / "sensors.csv"
