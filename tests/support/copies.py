"""What is in a store and in its copy."""

from pathlib import Path

from support.store import select


def samples(path: Path) -> list[tuple[object, ...]]:
    return select(path, "SELECT * FROM samples ORDER BY position")
