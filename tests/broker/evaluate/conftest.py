"""A working directory with a predictor in it."""

from pathlib import Path

import pytest
from support.evaluation import MINE


@pytest.fixture(autouse=True)
def _mine(workplace: Path) -> None:
    (workplace / "mine.py").write_text(MINE)
