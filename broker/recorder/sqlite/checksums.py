"""Checksums of rows: whether a row is the one that was written, at the place where it was.

Each is keyed with the row's place, so that one that was moved or swapped does not verify.
"""

import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

SENSORS = struct.Struct("<4f")
"""How a sample's four values are kept."""

SAMPLE_COLUMNS = (
    "position, line, session, id, CAST(sensors AS BLOB), sampled_at_ns, arrived_at_ns, prediction,"
    " checksum"
)
"""What sample_verifies() needs of a row of `samples`."""

_SAMPLE = struct.Struct("<7q16s")
_SNAPSHOT = struct.Struct("<4q")
_LABELS = struct.Struct("<2q")


def sample_checksum(  # noqa: PLR0917 - the columns of a row, in their order
    position: int,
    line: int,
    session: int,
    id_: int,
    sensors: bytes,
    sampled_at_ns: int,
    arrived_at_ns: int,
    prediction: int,
) -> int:
    """Of a row of `samples`. struct.error where a column is not of its type."""
    return zlib.crc32(
        _SAMPLE.pack(
            position, line, session, id_, sampled_at_ns, arrived_at_ns, prediction, sensors
        )
    )


def sample_verifies(row: Sequence[Any]) -> bool:
    """Whether a row of SAMPLE_COLUMNS is whole; without a checksum, whether it may be.

    Rows from before there were checksums have none.
    """
    *columns, checksum = row
    sensors = columns[4]
    if not isinstance(sensors, bytes) or len(sensors) != SENSORS.size:
        return False
    try:
        computed = sample_checksum(*columns)
    except struct.error:
        return False
    return checksum is None or bool(checksum == computed)


LINE_COLUMNS = "line, agent_id, checksum"
"""What line_verifies() needs of a row of `lines`."""

SESSION_COLUMNS = "session, line, id, opened_at_ns, checksum"
"""What session_verifies() needs of a row of `sessions`."""


def line_checksum(line: int, agent_id: str | None) -> int:
    """Of what names a row of `lines`. TypeError or struct.error where it is of another type."""
    return _named(agent_id, line)


def session_checksum(session: int, line: int, id_: str | None, opened_at_ns: int) -> int:
    """Of what names a row of `sessions`; errors as line_checksum()."""
    return _named(id_, session, line, opened_at_ns)


def line_verifies(row: Sequence[Any]) -> bool:
    """Whether a row of LINE_COLUMNS is whole; without a checksum, whether it may be."""
    return _name_verifies(line_checksum, row)


def session_verifies(row: Sequence[Any]) -> bool:
    """Whether a row of SESSION_COLUMNS is whole; without a checksum, whether it may be."""
    return _name_verifies(session_checksum, row)


def _named(name: str | None, *numbers: int) -> int:
    if not isinstance(name, str | None):
        raise TypeError("a name that is not text")
    size = -1 if name is None else len(name)
    head = struct.pack(f"<{len(numbers) + 1}q", *numbers, size)
    return zlib.crc32((name or "").encode(), zlib.crc32(head))


def _name_verifies(checksum_of: Callable[..., int], row: Sequence[Any]) -> bool:
    *columns, checksum = row
    try:
        computed = checksum_of(*columns)
    except (TypeError, struct.error):
        return False
    return checksum is None or bool(checksum == computed)


LABELS_COLUMNS = "session, line, CAST(sensors AS BLOB), checksum"
"""What labels_verify() needs of a row of `labels`."""


def labels_checksum(session: int, line: int, sensors: bytes) -> int:
    """Of a row of `labels`. struct.error where a number is none."""
    return zlib.crc32(sensors, zlib.crc32(_LABELS.pack(session, line)))


def labels_verify(row: Sequence[Any]) -> bool:
    """Whether a row of LABELS_COLUMNS is whole."""
    session, line, sensors, checksum = row
    try:
        return bool(checksum == labels_checksum(session, line, sensors))
    except (TypeError, struct.error):
        return False


def snapshot_checksum(
    line: int, position: int, digest: bytes, state: bytes | None, arrived_at_ns: int
) -> int:
    """Of a row of `snapshots`, whose `is_kept` may change; `digest` in UTF-8."""
    size = -1 if state is None else len(state)
    head = _SNAPSHOT.pack(line, position, arrived_at_ns, size)
    return zlib.crc32(state or b"", zlib.crc32(digest, zlib.crc32(head)))


SNAPSHOT_COLUMNS = (
    "line, position, CAST(digest AS BLOB), CAST(state AS BLOB), arrived_at_ns, checksum"
)
"""What snapshot_verifies() needs of a row of `snapshots`."""


def snapshot_verifies(row: Sequence[Any]) -> bool:
    """Whether a row of SNAPSHOT_COLUMNS is whole."""
    *columns, checksum = row
    _, _, digest, state, _ = columns
    if not isinstance(digest, bytes) or not isinstance(state, bytes | None):
        return False
    try:
        return bool(checksum == snapshot_checksum(*columns))
    except struct.error:
        return False


ASIDE_COLUMNS = "line, position, CAST(digest AS BLOB), CAST(state AS BLOB), answered, checksum"
"""The same of a row of `asides`, whose `answered` is in the place of the time."""
