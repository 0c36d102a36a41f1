"""`broker evaluate` on small tables, with a predictor of a person."""

from pathlib import Path

import pytest

from broker.__main__ import main

MINE = """
class Above:
    def __init__(self, at=0.5):
        self.at = at

    def predict(self, sample):
        if sample.values[3] == 7.0:
            raise RuntimeError("seven")
        return sample.values[0] > self.at

    def explain(self):
        return "asked"
"""


def table(path: Path, firsts: list[float], fourth: float = 0.0) -> str:
    path.write_text("".join(f"{first!r},0,0,{fourth!r}\n" for first in firsts))
    return str(path)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["evaluate", *arguments]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    assert main(["evaluate", *arguments]) == code
    return capsys.readouterr().err


LASTING = """
class Lasting:
    rows = 0

    def predict(self, sample):
        self.rows += 1
        return False

    def explain(self):
        return f"over the last {self.rows} rows" if self.rows % 40 == 0 else None

    def statistics(self):
        return {"T2": (3000.0 * (self.rows > 20), 22.0), "shift": (8.2 * (self.rows > 20), 12.0)}
"""
