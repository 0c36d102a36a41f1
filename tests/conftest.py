"""What tests of more than one room share."""

import os
from pathlib import Path

import pytest
from support.processes import let_children_hang_up

let_children_hang_up()
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # as the command lines do


@pytest.fixture(scope="session")
def dataset() -> Path:
    """The shipped CSV: 982 rows."""
    return Path(__file__).parents[1] / "dataset" / "sensors.csv"
