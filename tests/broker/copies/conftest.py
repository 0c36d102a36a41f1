"""Where a copy of a store goes."""

from pathlib import Path

import pytest


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "elsewhere" / "backup.db"


@pytest.fixture(autouse=True)
def _elsewhere(copy: Path) -> None:
    copy.parent.mkdir()
