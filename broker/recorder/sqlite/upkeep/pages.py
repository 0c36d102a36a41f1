"""The pages of a database file, read without SQLite: also where SQLite gives up.

https://www.sqlite.org/fileformat2.html tells the layout.
"""

import os
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Self

from broker.recorder.sqlite.wal import PAGE_BYTES, newest_frames

Value = int | float | str | bytes | None

_MAGIC = b"SQLite format 3\0"
_USUAL_BYTES = 4096
_HEADER_BYTES = 100  # of the file, at the begin of page 1

_TABLE_LEAF, _INDEX_LEAF, _INDEX_INNER, _TABLE_INNER = 0x0D, 0x0A, 0x02, 0x05
_NODE_BYTES = {_TABLE_LEAF: 8, _INDEX_LEAF: 8, _INDEX_INNER: 12, _TABLE_INNER: 12}

# Bytes of an integer, by its type in a record.
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


class Record(NamedTuple):
    """A row, or an entry of an index, by the places of its columns."""

    page: int
    row: int
    """The row's key; 0 in an index."""
    values: list[Value]


class Pages:
    """A file with its log over it, as far as both can be read. Entered while it is open.

    Nothing is trusted: what cannot be is left out. OSError where the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        self._log = -1
        head = self._pread(self._file, _HEADER_BYTES, 0)
        bytes_ = int.from_bytes(head[16:18], "big") if head[:16] == _MAGIC else 0
        bytes_ = 65536 if bytes_ == 1 else bytes_
        self._bytes = bytes_ if bytes_ in PAGE_BYTES else _USUAL_BYTES
        self._frames: dict[int, int] = {}
        try:
            self._log = os.open(f"{self._path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            pass
        else:
            self._bytes, self._frames = newest_frames(self._log, self._bytes)
        head = self._page(1)[:_HEADER_BYTES]
        self.has_header = head[:16] == _MAGIC
        """Whether the file says that it is a database. If not, its free pages are not known."""
        reserved = head[20] if self.has_header and len(head) > 20 else 0
        self._usable = self._bytes - (reserved if reserved <= self._bytes - 480 else 0)
        in_file = -(-os.fstat(self._file).st_size // self._bytes)
        self._count = max(in_file, *self._frames, 0) if self._frames else in_file
        self._free = self._free_pages(head) if self.has_header else frozenset()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
        if self._log >= 0:
            os.close(self._log)

    def rows(self) -> Iterator[Record]:
        """All rows of all tables with a row key, page by page."""
        return self._records(_TABLE_LEAF)

    def entries(self, but: frozenset[int]) -> Iterator[Record]:
        """All entries of indexes, and rows of tables without a row key, except on some pages."""
        yield from self._records(_INDEX_LEAF, but)
        yield from self._records(_INDEX_INNER, but)

    def is_whole(self, root: int) -> bool:
        """Whether all rows of a table can be read; not where its root is unknown (0)."""
        pages = self.tree(root)
        return bool(pages) and all(map(self._is_whole, pages))

    def _is_whole(self, page: int) -> bool:
        data = self._page(page)
        begin = _HEADER_BYTES if page == 1 else 0
        if len(data) < self._bytes or data[begin] not in (_TABLE_LEAF, _TABLE_INNER):
            return False
        if data[begin] == _TABLE_INNER:
            return True
        try:
            for cell in _cells(data, begin, _TABLE_LEAF):
                _values(self._payload(data, cell, _TABLE_LEAF)[1])
        except (ValueError, IndexError):
            return False
        return True

    def tree(self, root: int) -> frozenset[int]:
        """The pages of a table or index, as far as its root leads to them."""
        found: set[int] = set()
        left = [root]
        while left:
            page = left.pop()
            if page in found or not 0 < page <= self._count:
                continue
            found.add(page)
            data = self._page(page)
            begin = _HEADER_BYTES if page == 1 else 0
            kind = data[begin] if len(data) > begin else 0
            if kind in (_INDEX_INNER, _TABLE_INNER):
                left.append(int.from_bytes(data[begin + 8 : begin + 12], "big"))
                left += [
                    int.from_bytes(data[cell : cell + 4], "big")
                    for cell in _cells(data, begin, kind)
                ]
        return frozenset(found)

    def _records(self, kind: int, but: frozenset[int] = frozenset()) -> Iterator[Record]:
        for page in range(1, self._count + 1):
            if page in self._free or page in but:
                continue
            data = self._page(page)
            begin = _HEADER_BYTES if page == 1 else 0
            if len(data) < self._bytes or data[begin] != kind:
                continue
            for cell in _cells(data, begin, kind):
                try:
                    row, payload = self._payload(data, cell, kind)
                    values = _values(payload)
                except (ValueError, IndexError):
                    continue
                yield Record(page, row, values)

    def _payload(self, data: bytes, at: int, kind: int) -> tuple[int, bytes]:
        """The key and the whole record of a cell. IndexError or ValueError: it is torn."""
        row, usable = 0, self._usable
        if kind == _INDEX_INNER:
            at += 4
        size, at = _varint(data, at)
        if kind == _TABLE_LEAF:
            row, at = _varint(data, at)
        most = usable - 35 if kind == _TABLE_LEAF else (usable - 12) * 64 // 255 - 23
        if size <= most:
            return _signed(row, 8), _cut(data, at, size)
        least = (usable - 12) * 32 // 255 - 23
        here = least + (size - least) % (usable - 4)
        here = here if here <= most else least
        parts = [_cut(data, at, here)]
        following = int.from_bytes(_cut(data, at + here, 4), "big")
        left = size - here
        if left > self._count * usable:
            raise ValueError("longer than the file")
        while left > 0:
            overflow = self._page(following)
            parts.append(_cut(overflow, 4, min(left, usable - 4)))
            following = int.from_bytes(overflow[:4], "big")
            left -= len(parts[-1])
        return _signed(row, 8), b"".join(parts)

    def _page(self, page: int) -> bytes:
        """A page, as its last commit left it; shorter, or empty, where it cannot be read."""
        if page in self._frames:
            return self._pread(self._log, self._bytes, self._frames[page])
        return self._pread(self._file, self._bytes, (page - 1) * self._bytes)

    @staticmethod
    def _pread(descriptor: int, size: int, at: int) -> bytes:
        try:
            return os.pread(descriptor, size, at) if at >= 0 else b""
        except OSError:  # a sector that the medium has lost
            return b""

    def _free_pages(self, head: bytes) -> frozenset[int]:
        """Pages that are in no table: what lies in them was deleted."""
        free: set[int] = set()
        trunk = int.from_bytes(head[32:36], "big")
        while 0 < trunk <= self._count and trunk not in free:
            data = self._page(trunk)
            count = int.from_bytes(data[4:8], "big")
            if count > self._usable // 4 - 2:
                break
            free.add(trunk)
            free.update(struct.unpack_from(f">{count}I", data, 8))
            trunk = int.from_bytes(data[:4], "big")
        return frozenset(free)


def _cells(data: bytes, begin: int, kind: int) -> Iterator[int]:
    """Where the cells of a page begin."""
    count = int.from_bytes(data[begin + 3 : begin + 5], "big")
    at = begin + _NODE_BYTES[kind]
    for _ in range(min(count, (len(data) - at) // 2)):
        yield int.from_bytes(data[at : at + 2], "big")
        at += 2


def _varint(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value = byte & 0x7F
    for length in range(1, 9):
        byte = data[at + length]
        if length == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + length + 1
    raise AssertionError  # a varint has nine bytes at the most


def _signed(value: int, bytes_: int) -> int:
    half = 1 << (8 * bytes_ - 1)
    return value - 2 * half if value >= half else value


def _cut(data: bytes, at: int, size: int) -> bytes:
    part = data[at : at + size]
    if len(part) != size:
        raise ValueError("torn")
    return part


def _values(payload: bytes) -> list[Value]:
    """The columns of a record. IndexError or ValueError: it is torn."""
    head, _ = _varint(payload, 0)
    kinds, size = _columns(payload[:head])
    if head + size != len(payload):
        raise ValueError("longer or shorter than its columns")
    at = head
    values: list[Value] = []
    for kind, end in kinds:
        part = payload[at : head + end]
        at = head + end
        if kind in _INTEGER_BYTES:
            values.append(int.from_bytes(part, "big", signed=True))
        elif kind >= 12:
            values.append(part.decode() if kind % 2 else part)
        elif kind == 7:
            values.append(struct.unpack(">d", part)[0])
        else:
            values.append(None if kind == 0 else kind - 8)
    return values


@lru_cache(maxsize=1024)
def _columns(head: bytes) -> tuple[list[tuple[int, int]], int]:
    """By the head of a record: the type of each column and where it ends, and where all end.

    The rows of a table have few heads.
    """
    _, at = _varint(head, 0)
    kinds: list[tuple[int, int]] = []
    end = 0
    while at < len(head):
        kind, at = _varint(head, at)
        if kind in (10, 11):
            raise ValueError("no such type")
        if kind >= 12:
            end += (kind - 12) // 2
        else:
            end += 8 if kind == 7 else _INTEGER_BYTES.get(kind, 0)
        kinds.append((kind, end))
    return kinds, end
