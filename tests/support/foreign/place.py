"""Where a test puts text that is not ours, and such text."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest

from broker.model import Sample
from quartet.errors import QuartetError

EVIL = "seen \x1b[31m[/red]\r\n<0>2026-01-01 ERROR forged \u202e\u2028\x9b2J\u200b" + "x" * 5000
"""What no log and no terminal must get as it is."""

NAME = "seen \x1b[31m[red]\n<0>forged \u202e\u2028\x9b\u200b\udcff"
"""As a file may be called."""


class Place:
    """Where a test puts foreign text, and what a person sees of it."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.monkeypatch = monkeypatch
        self.log = StringIO()
        self.seen: list[str] = []

    def add(self, text: object) -> None:
        self.seen.append(str(text))

    def fails(self, call: Callable[[], object]) -> None:
        """Take the message of a call that fails."""
        with pytest.raises(QuartetError) as raised:
            call()
        self.add(raised.value)

    def file(self, text: str, name: str = "file") -> Path:
        path = self.directory / name
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return path


class Evil:
    """A black box that raises at all that it is asked."""

    error: Exception = ValueError(EVIL)

    def predict(self, _: Sample) -> bool:
        raise self.error

    def explain(self) -> str:
        raise self.error

    def snapshot(self) -> bytes:
        raise self.error

    def restore(self, _: bytes) -> None:
        raise self.error
