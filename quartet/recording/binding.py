"""Which columns of a recording are the four sensors, and which one is the time."""

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from quartet.channels import CHANNELS
from quartet.errors import TableError
from quartet.foreign import shown
from quartet.recording import hints
from quartet.recording.column import Column, Look

# Columns that a message lists.
_MOST_LISTED = 40

_OWN_NAMES = [f"sensor{number}" for number in range(1, CHANNELS + 1)]
_NUMBERS = (Look.NUMBERS, Look.CONSTANT)
_DOUBTFUL = (Look.DOUBTFUL, Look.FLAGS)
_TEXTS = (Look.WORDS, Look.DATES, Look.DAYS, Look.SAME_TIME, Look.TIMES_OF_DAY)
_STEADY = (Look.CLOCK, Look.COUNTER)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person says about the columns: each by its name or its number, from 1."""

    columns: tuple[str, ...] = ()
    """One to four sensors; none: found by what the columns look like."""
    time: str = ""
    """The time; "": found likewise."""


@dataclass(frozen=True, slots=True)
class Binding:
    """The columns in use. As text: one line that names all."""

    sensors: tuple[Column | None, ...]
    """Four; None for a channel that is 0 in each row."""
    time: tuple[Column, ...]
    """One column, or two: a date and a time of day, or a time and its milliseconds; or none."""
    ignored: tuple[Column, ...]
    labels: tuple[Column, ...] = ()
    """What a person knows of the rows, where it was asked for."""
    decimal: str = "."
    """What stands before the decimals."""

    def without_time(self) -> "Binding":
        """The same, where the time turns out not to be readable."""
        ignored = sorted((*self.time, *self.ignored), key=lambda column: column.number)
        return replace(self, time=(), ignored=tuple(ignored))

    def __str__(self) -> str:
        parts = [
            f"sensor{number} = {column or 'none (always 0)'}"
            for number, column in enumerate(self.sensors, 1)
        ]
        if self.time:
            parts.append(f"time = {' and '.join(map(str, self.time))}")
        if self.labels:
            parts.append(f"labels = {' and '.join(map(str, self.labels))}")
        if self.ignored:
            names = [shown(column.name, 30) or str(column) for column in self.ignored]
            more = len(names) - _MOST_LISTED
            listed = ", ".join(names[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
            parts.append(f"ignored: {listed}")
        if self.decimal == ",":
            parts.append("numbers with a decimal comma")
        return ", ".join(parts)


def bind(
    where: str,
    columns: Sequence[Column],
    choice: Choice,
    command: str,
    *,
    labels: Sequence[Column] = (),
    decimal: str = ".",
    doubt: str = "",
) -> Binding:
    """The binding of a file at `where`. TableError where it is not certain, with a command.

    `labels` are no sensors, unless they are chosen.
    """
    candidates = [column for column in columns if column not in labels]
    named = any(column.name for column in columns)
    if choice.columns:
        sensors = [find(where, columns, each) for each in choice.columns]
        _checkfind(where, sensors)
    elif doubt:
        _refuse(where, columns, candidates, command, doubt)
    else:
        sensors = _found(candidates) or _refuse(
            where, columns, candidates, command, _why(candidates)
        )
    if choice.time:
        time: list[Column] = [find(where, columns, choice.time)]
    else:
        time = _time([column for column in candidates if column not in sensors])
    used = [*sensors, *time, *labels]
    ignored = [
        column
        for column in columns
        if column not in used and (column.name or column.look is not Look.EMPTY or not named)
    ]
    return Binding(
        (*sensors, *[None] * (CHANNELS - len(sensors))),
        tuple(time),
        tuple(ignored),
        tuple(labels),
        decimal,
    )


def find(where: str, columns: Sequence[Column], wanted: str) -> Column:
    """The column of a name or a number. TableError where none or several are meant."""
    plain = wanted.strip().lower()
    named = [column for column in columns if column.name and column.name.lower() == plain]
    if not named and plain.isdecimal() and 1 <= int(plain) <= len(columns):
        return columns[int(plain) - 1]
    if len(named) == 1:
        return named[0]
    if named:
        numbers = ", ".join(str(column.number) for column in named)
        raise TableError(
            f"{where}: several columns are called '{shown(wanted)}': give a number ({numbers})"
        )
    raise TableError(f"{where}: no column '{shown(wanted)}': there are", *_listed(columns))


def _checkfind(where: str, sensors: Sequence[Column]) -> None:
    if len(sensors) > CHANNELS:
        raise TableError(f"{where}: expected one to four columns, got {len(sensors)}")
    for column in sensors:
        if sensors.count(column) > 1:
            raise TableError(f"{where}: {column} is named twice")
        if column.look in _TEXTS:
            raise TableError(f"{where}: {column} holds no numbers: {column.detail}")


def _found(columns: Sequence[Column]) -> list[Column]:
    """The four sensors, where they are certain."""
    own = [column for column in columns if column.name.lower() in _OWN_NAMES]
    if len(own) == CHANNELS and len({column.name.lower() for column in own}) == CHANNELS:
        return sorted(own, key=lambda column: column.name.lower())
    numbers = [column for column in columns if column.look in _NUMBERS]
    if not _has_numbers(columns):
        numbers = [column for column in columns if column.look in (*_NUMBERS, Look.FLAGS)]
    doubtful = [column for column in columns if column.look in _DOUBTFUL and column not in numbers]
    if all(column.look is Look.NUMBERS for column in numbers):
        # Four sensors that move: what else has only 0 and 1 is no fifth one.
        doubtful = [column for column in doubtful if column.look is not Look.FLAGS]
    if len(numbers) == CHANNELS and not doubtful:
        return numbers
    # Where every column rises steadily, none of them can be told to be the clock of the others.
    steady = [column for column in columns if column.look in _STEADY]
    if len(steady) == CHANNELS == len(columns):
        return steady
    return []


def _time(columns: Sequence[Column]) -> list[Column]:
    """The column of the time; or two, one with the date and one with the time of day."""
    by_look = {
        look: [column for column in columns if column.look is look]
        for look in (Look.DATES, Look.DAYS, Look.SAME_TIME, Look.TIMES_OF_DAY, Look.CLOCK)
    }
    days, times = by_look[Look.DAYS], by_look[Look.TIMES_OF_DAY]
    if not by_look[Look.DATES] and days and times:
        return [days[0], times[0]]
    parts = [column for column in columns if column.look is Look.PART_OF_DATE]
    rest = [column for column in parts if hints.is_milliseconds(column.name)][:1]
    if whole := by_look[Look.DATES] or (rest and by_look[Look.SAME_TIME]):
        return [whole[0], *rest]
    return (by_look[Look.CLOCK] or times or days or by_look[Look.SAME_TIME])[:1]


def _has_numbers(columns: Sequence[Column]) -> bool:
    """Whether some column is a sensor that moves; beside one, 0 and 1 are a label."""
    return any(column.look is Look.NUMBERS for column in columns)


def _why(columns: Sequence[Column]) -> str:
    is_label = Look.FLAGS if _has_numbers(columns) else Look.LABEL
    sensors = sum(
        column.look in (*_NUMBERS, *_DOUBTFUL) and column.look is not is_label for column in columns
    )
    if sensors == CHANNELS:
        return "not all of the four columns of numbers are sensors for sure"
    if not sensors:
        return "no column is a sensor for sure"
    return f"expected four columns of sensors, got {sensors}"


def _refuse(
    where: str, columns: Sequence[Column], candidates: Sequence[Column], command: str, why: str
) -> NoReturn:
    by_look = [
        [column for column in candidates if column.look in looks]
        for looks in (_NUMBERS, _DOUBTFUL, _STEADY)
    ]
    numbers = next(filter(None, by_look), [])
    lines = [f"{where}: {why}. The columns are:", *_listed(columns)]
    if numbers:
        chosen = numbers[:CHANNELS]
        lines.append(f"Say which are sensors, for example: {_option(columns, chosen, command)}")
    raise TableError(*lines)


def _option(columns: Sequence[Column], chosen: Iterable[Column], command: str) -> str:
    names = [column.name.lower() for column in columns]
    written = [
        column.name
        if names.count(column.name.lower()) == 1 and re.fullmatch(r"[^\W\d][^,\"]*", column.name)
        else str(column.number)
        for column in chosen
    ]
    return f"{command} --columns {shlex.quote(','.join(written))}".strip()


def _listed(columns: Sequence[Column]) -> list[str]:
    lines = [
        f"  {column.number}  {column}: {column.detail}"
        if column.name
        else f"  {column.number}  {column.detail}"
        for column in columns[:_MOST_LISTED]
    ]
    more = len(columns) - _MOST_LISTED
    return [*lines, f"  and {more} more"] if more > 0 else lines
