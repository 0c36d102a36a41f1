"""docs/durability.md tells of each fault that chaos tries."""

import re
from pathlib import Path

from chaos.faults import DOINGS
from chaos.schedule import KINDS

TABLES = Path(__file__).parents[2] / "docs" / "durability.md"

_COLUMNS = 6


def rows() -> list[list[str]]:
    """The cells of those rows that begin with a fault."""
    lines = (line for line in TABLES.read_text().splitlines() if line.startswith("|"))
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [row for row in cells if len(row) == _COLUMNS]


def told() -> list[str]:
    return [name for row in rows() for name in re.findall(r"`([a-z-]+)`", row[0])]


def test_each_fault_has_its_row_and_each_row_its_fault() -> None:
    names = [kind.name for kind in KINDS]
    assert sorted(name for name in told() if name in DOINGS) == sorted(names)
    assert sorted(DOINGS) == sorted(names)


def test_each_row_says_something_in_every_column() -> None:
    assert [row for row in rows() if not all(row)] == []
