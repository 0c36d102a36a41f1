"""What people call the four sensors, and the units of their values, as a call's metadata says it.

UTF-8 JSON of at most 1 kB: an array of four, each null (there is no sensor) or an object with a
`name` and a `unit`. Other keys of an object are ignored.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

MOST_BYTES = 1024
MOST_IN_NAME = 64
MOST_IN_UNIT = 16

_CUT = "…"


@dataclass(frozen=True, slots=True)
class Label:
    """What a person calls a sensor, and the unit of its values."""

    name: str
    unit: str = ""


Sensors = tuple[Label | None, ...]
"""The labels of all four channels; None in a place: there is no sensor."""


class _Said(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_IN_NAME)]
    unit: Annotated[str, msgspec.Meta(max_length=MOST_IN_UNIT)] = ""


_Four = tuple[_Said | None, _Said | None, _Said | None, _Said | None]

_decoder = msgspec.json.Decoder(_Four)


def encode(labels: Sequence[Label | None]) -> bytes:
    """The labels of four channels; text that is too long is cut, and ends with three dots."""
    for most in range(MOST_IN_NAME, 0, -1):
        encoded = _encoded(labels, most)
        if len(encoded) <= MOST_BYTES:
            break
    return encoded


def decode(encoded: bytes) -> Sensors:
    """Read labels; ValueError for what is none, or too long. Any text may be in them."""
    if len(encoded) > MOST_BYTES:
        raise ValueError(f"{len(encoded)} bytes, expected at most {MOST_BYTES}")
    try:
        said = _decoder.decode(encoded)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return tuple(Label(each.name, each.unit) if each else None for each in said)


def _encoded(labels: Sequence[Label | None], most_in_name: int) -> bytes:
    said = [
        label
        and {
            "name": _cut(label.name or f"sensor{number}", most_in_name),
            "unit": _cut(label.unit, MOST_IN_UNIT),
        }
        for number, label in enumerate(labels, 1)
    ]
    # Text with half a surrogate pair, which a file may hold, has no UTF-8.
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + _CUT
