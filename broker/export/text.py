"""An export as text: CSV, and JSON lines."""

import json
import math
from collections.abc import Sequence
from itertools import repeat
from typing import BinaryIO

from broker.export.cells import Numbers, Times, cell, row
from broker.export.rows import Rows, Statistics

_COLUMNS = ("prediction", "arrived", "explanation")


class CsvText:
    """Rows as CSV that a spreadsheet opens, and that `--simulate` and `evaluate` read."""

    def __init__(self, names: Sequence[str], *, with_statistics: bool = False) -> None:
        """`names`: of the four sensors."""
        self._with_statistics = with_statistics
        columns = [*map(cell, names), *_COLUMNS]
        self.header = row(["time", "session", "id", *columns, *_last(with_statistics)]) + "\n"
        self._numbers, self._times = Numbers(), Times()

    def of(self, rows: Rows) -> str:
        """Their lines."""
        number, times, arrived = self._numbers, self._times, Times()
        said = rows.said
        lines = []
        for sample, told in zip(rows.samples, rows.statistics or repeat(None), strict=False):
            one, two, three, four = sample.values
            line = (
                f"{times[sample.sampled_at_ns]},{sample.session_id},{sample.id},{number[one]},"
                f"{number[two]},{number[three]},{number[four]},{sample.prediction:d},"
                f"{arrived[sample.arrived_at_ns]},"
            )
            if said and (text := said.get((sample.session_id, sample.id))):
                line += row([cell(text), ""])[:-1]
            if self._with_statistics:
                line += "," + (row([in_json(told), ""])[:-1] if told else "")
            lines.append(line)
        lines.append("")
        return "\n".join(lines)


class JsonLines:
    """Rows as JSON lines: a value that is NaN is null, an infinite one "inf" or "-inf"."""

    header = ""

    def __init__(self, names: Sequence[str], *, with_statistics: bool = False) -> None:
        """`names`: of the four sensors."""
        self._with_statistics = with_statistics
        self._keys = [f"{_quoted(name)}:" for name in names]
        self._numbers, self._times = _JsonNumbers(), Times()

    def of(self, rows: Rows) -> str:
        """Their lines."""
        number, times, arrived = self._numbers, self._times, Times()
        first, second, third, fourth = self._keys
        said = rows.said
        lines = []
        for sample, told in zip(rows.samples, rows.statistics or repeat(None), strict=False):
            one, two, three, four = sample.values
            text = said.get((sample.session_id, sample.id)) if said else None
            line = (
                f'{{"time":"{times[sample.sampled_at_ns]}","session":"{sample.session_id}",'
                f'"id":{sample.id},{first}{number[one]},{second}{number[two]},'
                f"{third}{number[three]},{fourth}{number[four]},"
                f'"prediction":{"true" if sample.prediction else "false"},'
                f'"arrived":"{arrived[sample.arrived_at_ns]}",'
                f'"explanation":{"null" if text is None else _quoted(text)}'
            )
            if self._with_statistics:
                line += f',"statistics":{in_json(told) if told else "null"}'
            lines.append(line + "}")
        lines.append("")
        return "\n".join(lines)


class TextFile:
    """Writes an export as text. OSError where that fails."""

    def __init__(self, file: BinaryIO, text: CsvText | JsonLines) -> None:
        self._file = file
        self._text = text
        file.write(text.header.encode())

    def write(self, rows: Rows) -> None:
        """Write some rows."""
        self._file.write(self._text.of(rows).encode())

    def close(self) -> None:
        """Nothing comes behind the rows."""


class _JsonNumbers(Numbers):
    def __missing__(self, value: float) -> str:
        if value == 0:
            return repr(value)  # "-0" is the integer 0 to most readers
        if math.isfinite(value):
            return super().__missing__(value)
        return "null" if math.isnan(value) else f'"{value}"'


def in_json(statistics: Statistics) -> str:
    """The numbers behind an answer, each with its limit: {"MEWMA":[38.8,28.7]}."""
    return json.dumps(
        {name: [_finite(value), _finite(limit)] for name, (value, limit) in statistics.items()},
        separators=(",", ":"),
    )


def _finite(value: float) -> float | str | None:
    if math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _last(with_statistics: bool) -> Sequence[str]:
    return ["statistics"] if with_statistics else []
