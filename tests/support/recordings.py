"""Tables of four sensors as loggers write them, and what is read of them."""

import bz2
import gzip
import lzma
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st

from quartet.channels import CHANNELS, Values
from quartet.errors import TableError
from quartet.recording import Choice, Recording

many = settings(derandomize=True, deadline=None, max_examples=80)


@dataclass(frozen=True)
class Dialect:
    """One way to write a table of four sensors a to d, with a time before them or without."""

    delimiter: str
    decimal: str
    newline: str
    encoding: str
    quote: bool
    time: bool
    top: tuple[str, ...]
    units: bool
    trailing: bool
    pad: str

    def line(self, cells: Sequence[str]) -> str:
        written = [f'"{cell}"' if self.quote else cell for cell in cells]
        end = self.delimiter if self.trailing else ""
        return (self.delimiter + self.pad).join(written) + end

    def encode(self, rows: Sequence[Values]) -> bytes:
        lines = [*self.top, self.line([*["t"] * self.time, "a", "b", "c", "d"])]
        if self.units:
            lines.append(self.line([*["s"] * self.time, "V", "mV", "\N{DEGREE SIGN}C", "bar"]))
        for number, row in enumerate(rows):
            cells = [repr(value).replace(".", self.decimal) for value in row]
            lines.append(self.line([*[f"{number}"] * self.time, *cells]))
        return (self.newline.join(lines) + self.newline).encode(self.encoding)


@st.composite
def dialects(draw: st.DrawFn) -> Dialect:
    delimiter = draw(st.sampled_from([",", ";", "\t", "|"]))
    quote = draw(st.booleans())
    decimals = "." if delimiter == "," and not quote else ".,"
    tops = [(), ("# made by a logger",), ("Logger X", "Serial: 12", "", "Start: 2024-05-01"), ("",)]
    return Dialect(
        delimiter,
        draw(st.sampled_from(decimals)),
        draw(st.sampled_from(["\n", "\r\n", "\r"])),
        draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"])),
        quote,
        draw(st.booleans()),
        draw(st.sampled_from(tops)),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.sampled_from(["", " "])),
    )


values = st.floats(width=32, allow_nan=False, allow_infinity=False)
tables = st.lists(st.tuples(*[values] * CHANNELS), min_size=1, max_size=6)


def read(path: Path, choice: Choice = Choice()) -> tuple[list[Values], str, list[str]]:  # noqa: B008
    """The rows that were given, the message that ended them, and the remarks."""
    rows: list[Values] = []
    remarks: list[str] = []
    try:
        with Recording(path, choice, say=remarks.append) as recording:
            rows.extend(row.values for row in recording)
    except TableError as error:
        return rows, str(error), remarks
    return rows, "", remarks


def read_bytes(path: Path, raw: bytes, *columns: str) -> tuple[list[Values], str, list[str]]:
    path.write_bytes(raw)
    return read(path, Choice(columns))


def bits(rows: Sequence[Values]) -> list[bytes]:
    """Rows as float32, where every NaN is the same, and 0.0 is not -0.0."""
    return [struct.pack("<4f", *(math.nan if math.isnan(v) else v for v in row)) for row in rows]


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}
