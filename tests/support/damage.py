"""Damage to a store's file, as worn-out cards and careless hands do it."""

import random
from collections.abc import Callable
from pathlib import Path

PAGE_BYTES = 4096

Damage = Callable[[bytearray, random.Random], None]


def zeroed_page(data: bytearray, dice: random.Random) -> None:
    begin = _page(data, dice) * PAGE_BYTES
    data[begin : begin + PAGE_BYTES] = bytes(PAGE_BYTES)


def zeroed_pages(data: bytearray, dice: random.Random) -> None:
    """A run of them, as one erase block."""
    first = _page(data, dice)
    end = min(len(data), (first + dice.randrange(2, 9)) * PAGE_BYTES)
    data[first * PAGE_BYTES : end] = bytes(end - first * PAGE_BYTES)


def noisy_page(data: bytearray, dice: random.Random) -> None:
    begin = _page(data, dice) * PAGE_BYTES
    data[begin : begin + PAGE_BYTES] = dice.randbytes(PAGE_BYTES)


def flipped_bytes(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.randrange(1, 6)):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def swapped_pages(data: bytearray, dice: random.Random) -> None:
    one, two = (_page(data, dice) * PAGE_BYTES for _ in range(2))
    first, second = (bytes(data[at : at + PAGE_BYTES]) for at in (one, two))
    data[one : one + PAGE_BYTES], data[two : two + PAGE_BYTES] = second, first


def truncated(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data) // 2, len(data)) :]


def torn_header(data: bytearray, _: random.Random) -> None:
    data[:PAGE_BYTES] = bytes(PAGE_BYTES)


def torn_schema(data: bytearray, dice: random.Random) -> None:
    """Names of tables and columns are overwritten."""
    at = data.find(b"CREATE ")
    for _ in range(20):
        data[at + dice.randrange(2000)] ^= 0x20


KINDS: list[Damage] = [
    *(zeroed_page, zeroed_pages, noisy_page, flipped_bytes),
    *(swapped_pages, truncated, torn_header, torn_schema),
]


def damage(path: Path, kind: Damage, seed: int) -> bytes:
    """Damage a file that nobody has open; what it is now."""
    data = bytearray(path.read_bytes())
    kind(data, random.Random(seed))  # noqa: S311
    path.write_bytes(data)
    return bytes(data)


def _page(data: bytearray, dice: random.Random) -> int:
    """Any but the first."""
    return dice.randrange(1, len(data) // PAGE_BYTES)
