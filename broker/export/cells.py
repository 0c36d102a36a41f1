"""How times, numbers and foreign texts are written in a table."""

import csv
import io
import math
from collections.abc import Sequence
from datetime import UTC, datetime

from quartet.channels import FLOAT32_MAX, shortest
from quartet.recording.cells import OVERLOADS

# A spreadsheet takes a cell that begins so for a formula.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")

# Values of a converter repeat. Those of a calculation may not: there is an end to it.
_MOST_KNOWN = 1 << 14

# Less than each value that has a special meaning.
_LARGE = 9e37

_S_NS = 10**9


def cell(text: str) -> str:
    """A text of a stranger's, which a spreadsheet shows and does not run."""
    return f"'{text}" if text.lstrip().startswith(_FORMULAS) else text


def iso(at_ns: int) -> str:
    """A time in UTC to the microsecond, as ISO 8601 has it; Unix seconds where it has none."""
    return Times()[at_ns]


class Times:
    """Writes times of the same second quickly, and the same time at once. One thread."""

    def __init__(self) -> None:
        self._second = -1
        self._text = "1969-12-31T23:59:59"
        self._latest: tuple[int, str] = (-1, "1969-12-31T23:59:59.999999Z")

    def __getitem__(self, at_ns: int) -> str:
        """As iso()."""
        latest_ns, text = self._latest
        if at_ns != latest_ns:  # samples of one commit have arrived at the same time
            text = self._written(at_ns)
            self._latest = at_ns, text
        return text

    def _written(self, at_ns: int) -> str:
        second, rest_ns = divmod(at_ns, _S_NS)
        if second != self._second:
            try:
                self._text = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
            except (OverflowError, ValueError, OSError):  # year 10,000 and on, a peer's invention
                return f"{second}.{rest_ns:09d}"
            self._second = second
        return f"{self._text}.{rest_ns // 1000:06d}Z"


class Numbers(dict[float, str]):
    """Writes float32 values with the fewest digits that read back bit for bit, as `nan` or `inf`.

    A number that a recording would take for an overload has more digits. One thread.
    """

    def __missing__(self, value: float) -> str:
        text = shortest(value)
        if not value or not -_LARGE < value < _LARGE:  # -0.0 equals 0.0, and NaN nothing
            return _exact(value, text)
        if len(self) >= _MOST_KNOWN:
            self.clear()
        self[value] = text
        return text


def _exact(value: float, text: str) -> str:
    """The text of a value, or a longer one where a recording would not take it for that value."""
    read = abs(float(text))
    return repr(value) if read in OVERLOADS or FLOAT32_MAX < read < math.inf else text


def row(cells: Sequence[object]) -> str:
    """A line of CSV, with quotes where they are needed."""
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().removesuffix("\r\n")
