"""The error that a wrong file of settings gives."""

from pathlib import Path

import pytest

import agent.config
import broker.config
from quartet.errors import SettingsError
from quartet.settings import load

Kind = type[agent.config.Settings] | type[broker.config.Settings]


def refusal(path: Path, kind: Kind, raw: bytes | str) -> list[str]:
    """The lines of the error, without the path that each begins with."""
    path.write_bytes(raw.encode() if isinstance(raw, str) else raw)
    with pytest.raises(SettingsError) as raised:
        load(path, kind)
    lines = str(raised.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]
