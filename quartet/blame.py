"""Which sensors a predictor's reason names, and with what share."""

import re
from collections.abc import Iterator

_BLAMED = re.compile(r"\bsensor([1-4])\b(?:\s+(\d+(?:\.\d+)?)\s?%)?")


def named_in(reason: str) -> Iterator[tuple[int, float | None]]:
    """The index of each sensor that is named, and its share in percent; None: it says none."""
    for number, share in _BLAMED.findall(reason):
        yield int(number) - 1, float(share) if share else None
