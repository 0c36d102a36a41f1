"""The log of commits beside a store: whether SQLite reads all that was committed to it.

SQLite reads it up to the first frame that is damaged, and says nothing of those behind.
https://www.sqlite.org/fileformat2.html#walformat tells the layout.
"""

import os
import sqlite3
import struct
import sys
from contextlib import closing
from pathlib import Path

from quartet.errors import StoreError

_HEADER = struct.Struct(">8I")
_FRAME_HEADER = struct.Struct(">6I")
_FRAME_HEADER_BYTES = _FRAME_HEADER.size
_LITTLE_ENDIAN = 0x377F0682

PAGE_BYTES = frozenset(1 << power for power in range(9, 17))
"""The sizes that pages may have."""

# The index of the log begins with two equal copies of its header.
_INDEX_HEADER_BYTES = 48
_GOOD_FRAMES = slice(16, 20)
_INDEX_SALT = slice(32, 40)


def has_log(path: Path) -> bool:
    """Whether a log with something in it lies beside a store."""
    try:
        return Path(f"{path}-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def is_file(path: Path) -> bool:
    """Whether the file is there: one without content is as good as none."""
    return path.exists() and path.stat().st_size > 0


def refuse_lone_log(path: Path) -> None:
    """Raise StoreError where a store's file is gone, and its log is not."""
    file = path.resolve()
    if has_log(file) and not is_file(file):
        raise StoreError(
            f"{path}: is gone, but its log of commits is still there: {put_back(file)}"
        )


def put_back(file: Path) -> str:
    """What to do while no broker runs, where the file is gone, as a person is told."""
    return (
        "either put the file back beside its -wal (together they have all"
        " records), or restore a backup with 'broker store restore', or, for an empty store, move"
        f" {file}-wal and {file}-shm away too"
    )


def unread_frames(path: Path) -> int:
    """How many committed frames of a log SQLite does not read. Nobody may have the store open.

    0 where there is no log, or where the file itself cannot be read. A commit that a kill cut
    short is none: the index, which its writer has left, does not have it.
    """
    committed, before, salt = _committed_frames(Path(f"{path}-wal"))
    if not committed:
        return 0
    indexed = _indexed_frames(Path(f"{path}-shm"), salt)  # SQLite may make the index again
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as rows:
            rows.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            index = Path(f"{path}-shm").read_bytes()
    except (sqlite3.Error, OSError):  # others tell of that
        return 0
    good = int.from_bytes(index[_GOOD_FRAMES], sys.byteorder)
    if good == before == indexed:
        return 0
    return max(0, committed - good)


def _indexed_frames(index: Path, salt: bytes) -> int | None:
    """Up to which frame a log was committed, as its index says; None: it does not."""
    try:
        data = index.read_bytes()
    except OSError:
        return None
    head = data[:_INDEX_HEADER_BYTES]
    is_whole = head == data[_INDEX_HEADER_BYTES : 2 * _INDEX_HEADER_BYTES]
    if not is_whole or head[_INDEX_SALT] != salt:
        return None
    return int.from_bytes(head[_GOOD_FRAMES], sys.byteorder)


def _committed_frames(log: Path) -> tuple[int, int, bytes]:
    """Up to which frame it was committed, as the frames themselves say.

    Also up to which one it was before the last commit, and the salt of its frames.
    """
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0, 0, b""
    try:
        head = os.pread(descriptor, _HEADER.size, 0)
        if len(head) < _HEADER.size:
            return 0, 0, b""
        numbers: tuple[int, ...] = _HEADER.unpack(head)
        magic, page_bytes = numbers[0], numbers[2]
        step = _FRAME_HEADER_BYTES + page_bytes
        count: int = (os.fstat(descriptor).st_size - _HEADER.size) // step
        order = "<" if magic == _LITTLE_ENDIAN else ">"
        if sums(head[:24], (0, 0), order) != numbers[6:]:  # then SQLite reads none
            return max(count, 1), 0, b""
        last = before = 0
        for number in range(count):
            frame = os.pread(descriptor, _FRAME_HEADER_BYTES, _HEADER.size + number * step)
            is_current = frame[8:16] == head[16:24]  # and not of before the log was begun again
            if is_current and frame[4:8] != bytes(4):
                last, before = number + 1, last
        return last, before, head[16:24]
    finally:
        os.close(descriptor)


def newest_frames(descriptor: int, page_bytes: int) -> tuple[int, dict[int, int]]:
    """The size of pages, and where in an open log the newest committed state of each page lies.

    Each frame carries the checksum of all before it, with which the next one is checked: one that
    is damaged costs itself alone. A damaged header costs the first frame; then pages have the
    size that is passed in, and sums the order of bytes of this machine.
    """
    head = os.pread(descriptor, _HEADER.size, 0)
    if len(head) < _HEADER.size:
        return page_bytes, {}
    magic, _, said_bytes, _, *salt, _, _ = _HEADER.unpack(head)
    order = "<" if magic == _LITTLE_ENDIAN else ">"
    before: tuple[int, ...] = _HEADER.unpack(head)[6:]
    if said_bytes in PAGE_BYTES and sums(head[:24], (0, 0), order) == before:
        page_bytes = said_bytes
    else:
        order = "<" if sys.byteorder == "little" else ">"
        salt = list(struct.unpack(">2I", os.pread(descriptor, 8, _HEADER.size + 8) or bytes(8)))
        before = ()
    found: dict[int, int] = {}
    pending: dict[int, int] = {}
    at, step = _HEADER.size, _FRAME_HEADER_BYTES + page_bytes
    while len(frame := os.pread(descriptor, step, at)) == step:
        page, commits, *frame_salt, one, two = _FRAME_HEADER.unpack_from(frame)
        said, at = (one, two), at + step
        is_good = (
            page > 0
            and frame_salt == salt
            and before
            and said == sums(frame[:8] + frame[_FRAME_HEADER_BYTES:], before, order)
        )
        if is_good:
            pending[page] = at - page_bytes
            if commits:
                found |= pending
                pending.clear()
        before = said
    return page_bytes, found


def sums(data: bytes, before: tuple[int, ...], order: str) -> tuple[int, int]:
    """The checksum of a log up to here, from the one before; `order` of bytes: < or >."""
    one, two = before
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two
