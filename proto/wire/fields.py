"""Fields of protobuf's messages as bytes, for the few messages that are written by hand.

https://protobuf.dev/programming-guides/encoding tells the layout. A field of 0, or of an empty
text, is left out: so the protobuf library writes it as well, of a message in proto3. Fields have
numbers from 1 to 15 here, whose tags take one byte.
"""

_VARINT, _BYTES = 0, 2
_CUT = 2**64


def varint(number: int) -> bytes:
    """An int32 or int64; a negative one has ten bytes."""
    left = number % _CUT
    written = bytearray()
    while left > 0x7F:
        written.append(left & 0x7F | 0x80)
        left >>= 7
    written.append(left)
    return bytes(written)


def number(field: int, value: int) -> bytes:
    """A field that is an integer, a bool or an enumeration."""
    return bytes((field << 3 | _VARINT,)) + varint(value) if value else b""


def text(field: int, value: str) -> bytes:
    """A field that is a string."""
    return message(field, value.encode()) if value else b""


def message(field: int, encoded: bytes) -> bytes:
    """A field that is another message, even an empty one."""
    return bytes((field << 3 | _BYTES,)) + varint(len(encoded)) + encoded
