"""An authority with its broker and agents: for all tests of a file, or a test's own."""

from pathlib import Path

import pytest
from support.trust import Plant


@pytest.fixture
def own_plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)
