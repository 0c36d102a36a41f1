"""The formats of an export, and the names of their files."""

from enum import StrEnum
from pathlib import Path


class Format(StrEnum):
    """Of a file."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


_ENDINGS = {
    ".csv": Format.CSV,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".parquet": Format.PARQUET,
}


def format_of(path: Path) -> Format | None:
    """The format that the name of a file tells; None: it tells none."""
    return _ENDINGS.get(path.suffix.lower())
