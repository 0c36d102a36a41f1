"""Files of settings."""

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def toml_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("settings") / "some.toml"
