"""What cursors of all stores have in common: when the sample before them arrived."""

import re

_CURSOR = re.compile("(?:[0-9a-f]{1,19}:){1,4}([0-9]{1,19})")


def arrival_ns(cursor: str) -> int:
    """Of a cursor of bulk(), whatever kind of store gave it. ValueError for one that is none."""
    match = _CURSOR.fullmatch(cursor)
    if not match:
        raise ValueError(f"{cursor!r} is not a cursor of a store")
    return int(match[1])
