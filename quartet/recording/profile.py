"""What a column looks like over a whole file: numbers, a clock, a counter, dates, words."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice, pairwise
from operator import sub
from statistics import median

from quartet.recording import hints
from quartet.recording.cells import has_thousands_mark, quoted
from quartet.recording.column import Column, Look
from quartet.recording.dialect import kind_of
from quartet.recording.scale import Scale, Scales
from quartet.recording.times import day_token, has_date, has_time_of_day

# Falls that make a column no clock for good, and the least share of them among its steps.
_FALLS = 10
_SHARE_OF_FALLS = 0.1

# Numbers from which a column's behaviour says something; fewer do where all steps are equal.
_EVIDENCE = 10
_EXACT_EVIDENCE = 5

# Steps of a clock are as long as its median step, within this share of it, except a few.
_TOLERANCE = 0.05
_STEADY = 0.9

# A logger is started again a few times in one file; more falls need a name that says so.
_RESTARTS = 3

# Different words that are kept.
_MOST_NAMES = 100

# Different dates that are kept to find out their order.
_MOST_TOKENS = 4000


class Profile:
    """Sees the cells of one column, block by block, in order."""

    def __init__(self, number_: int, name: str, unit: str, decimal: str) -> None:
        self.number = number_
        self._name = name
        self._unit = unit
        self._decimal = decimal
        self.kinds: Counter[str] = Counter()
        self.tokens: dict[str, None] = {}
        """The different dates, in order."""
        self.time = ""
        """The first cell that looks like a time."""
        self._words: dict[str, None] = {}
        self._marked = ""
        self._marks = 0
        self._times_vary = False
        self._scales = Scales(name, unit)
        self._least = float("inf")
        self._most = float("-inf")
        self._first = 0.0
        self._last: float | None = None
        self._only_flags = True
        self._only_whole = True
        self._rises = self._repeats = self._falls = self._restarts = self._steady = 0
        self._step: float | None = None
        self._least_step = float("inf")
        self._most_step = float("-inf")
        self._run = 0
        self._runs: list[int] = []

    @property
    def is_settled(self) -> bool:
        """Whether no later cell can change what it is, or tell more of it."""
        if self.kinds["time"] >= _EVIDENCE and self.kinds["time"] == self.kinds.total():
            is_iso = not self.tokens or all(token[:4].isdigit() for token in self.tokens)
            return is_iso and self._times_vary
        falls = self._falls - self._restarts
        return (
            falls >= _FALLS
            and falls >= _SHARE_OF_FALLS * (self._rises + self._repeats + self._falls)
            and not self._only_flags
            and not self.may_be_part_of_date
            and not self.kinds["word"]
        )

    def add(self, cells: Sequence[str]) -> None:
        """Take the next cells in."""
        try:
            if self._decimal == ".":
                values = list(map(float, cells))
            else:
                values = [float(cell.replace(",", ".")) for cell in cells]
            self.kinds["number"] += len(values)
        except ValueError:
            values = self._sorted_out(cells)
        values = [value for value in values if value == value]  # noqa: PLR0124 - no NaN
        if values:
            self._add_values(values)

    @property
    def may_be_part_of_date(self) -> bool:
        """Whether it may be an hour, say, by its name and its values."""
        return self._only_whole and hints.is_part_of_date(self._name, self._least, self._most)

    def column(self, other_parts: int = 0) -> Column:
        """What it looks like so far, beside so many columns of parts of a date, or of dates."""
        look, detail = self._look(other_parts)
        return Column(self.number, self._name, self._unit, look, detail)

    def names_of_rows(self) -> list[str]:
        """What the rows are about, where each one has a name in this column, and they differ."""
        names = list(self._words)
        is_repeated = 1 < len(names) <= self.kinds["word"] / 2
        is_full = 2 * self.kinds["word"] > self.kinds.total()
        return names if is_repeated and is_full and hints.is_of_names(self._name) else []

    def scale(self) -> Scale:
        """What a clock counts."""
        return self._scales.found(self._least, self._most, is_whole=self._only_whole)

    def _sorted_out(self, cells: Sequence[str]) -> list[float]:
        values = []
        for cell in cells:
            kind, value = kind_of(cell, self._decimal)
            self.kinds[kind] += 1
            if kind == "number":
                values.append(value)
            elif kind == "word":
                if len(self._words) < _MOST_NAMES:
                    self._words[cell.strip()] = None
                if has_thousands_mark(cell):
                    self._marks += 1
                    self._marked = self._marked or cell
            elif kind == "time":
                self.time = self.time or cell
                self._times_vary = self._times_vary or cell != self.time
                if len(self.tokens) < _MOST_TOKENS and (token := day_token(cell)):
                    self.tokens[token] = None
        return values

    def _add_values(self, values: list[float]) -> None:
        least, most = min(values), max(values)
        self._least, self._most = min(self._least, least), max(self._most, most)
        if self._only_flags:
            self._only_flags = least >= 0 and most <= 1 and set(values) <= {0.0, 1.0}
        if self._only_whole:
            self._only_whole = all(map(float.is_integer, filter(_is_finite, values)))
        self._scales.add(values, most)
        if self._last is None:
            self._first = self._last = values[0]
            chain = values
        else:
            chain = [self._last, *values]
        steps = list(map(sub, islice(chain, 1, None), chain))
        self._last = chain[-1]
        if steps:
            self._add_steps(steps, chain)

    def _add_steps(self, steps: list[float], chain: list[float]) -> None:
        rises, falls = sum(map((0.0).__lt__, steps)), sum(map((0.0).__gt__, steps))
        self._rises += rises
        self._falls += falls
        self._repeats += len(steps) - rises - falls
        self._least_step = min(self._least_step, *steps)
        self._most_step = max(self._most_step, *steps)
        if self._step is None and rises:
            self._step = median(step for step in steps if step > 0)
        if self._step is None or falls > 2 * _SHARE_OF_FALLS * len(steps):
            return
        low, high = (1 - _TOLERANCE) * self._step, (1 + _TOLERANCE) * self._step
        self._steady += sum(low <= step <= high for step in steps)
        if falls:
            near = self._first + 2 * self._step
            self._restarts += sum(
                later < earlier and later <= near for earlier, later in pairwise(chain)
            )
        if not self._falls and len(self._runs) < _MOST_TOKENS:
            self._add_runs(steps)

    def _add_runs(self, steps: Iterable[float]) -> None:
        """How many rows each value stays, for a clock that is slower than the rows."""
        for step in steps:
            self._run += 1
            if step > 0:
                self._runs.append(self._run)
                self._run = 0

    def _look(self, other_parts: int) -> tuple[Look, str]:
        kinds, numbers = self.kinds, self.kinds["number"]
        if not numbers + kinds["time"] + kinds["word"] or (numbers and self._last is None):
            failed = kinds["missing"] + numbers
            return (Look.DOUBTFUL, "no reading at all") if failed else (Look.EMPTY, "empty")
        if kinds["word"] + kinds["time"] > numbers:
            return self._texts()
        is_same = self._least == self._most
        span = f"always {self._least:g}" if is_same else f"{self._least:g} to {self._most:g}"
        if self.may_be_part_of_date:
            if other_parts > hints.is_ambiguous_part(self._name):
                return Look.PART_OF_DATE, f"{span}: a part of a date"
            look, detail = self._behaviour(span)
            if look not in (Look.CLOCK, Look.COUNTER):
                look, detail = Look.DOUBTFUL, f"{span}: perhaps a part of a date"
            return look, detail
        if hints.is_of_label(self._name) and self._only_flags:
            return Look.LABEL, "a label of 0 and 1"
        return self._behaviour(span)

    def _texts(self) -> tuple[Look, str]:
        if self.kinds["time"] <= self.kinds["number"] + self.kinds["word"]:
            if 2 * self._marks <= self.kinds["word"]:
                return Look.WORDS, f"words, such as {quoted(next(iter(self._words)))}"
            how = "numbers with marks between thousands: write them without"
            return Look.DOUBTFUL, f"{how}, such as {quoted(self._marked)}"
        if not has_date(self.time):
            return Look.TIMES_OF_DAY, "times of day"
        if not has_time_of_day(self.time):
            return Look.DAYS, "dates"
        if not self._times_vary and self.kinds["time"] > 1:
            return Look.SAME_TIME, f"always {quoted(self.time)}"
        return Look.DATES, "times"

    def _behaviour(self, span: str) -> tuple[Look, str]:
        """A clock or counter by the way its values go, or a sensor; or none of them for sure."""
        steps = self._rises + self._repeats + self._falls
        is_same = self._least == self._most
        is_steady = self._is_steady(steps)
        if self._is_date(steps) or (self._falls == self._restarts and self._runs_on(steps)):
            is_time = hints.is_of_time(self._name)
            if is_time or not self._only_whole or self._step not in (None, 1.0):
                return Look.CLOCK, f"a clock, {span}"
            return Look.COUNTER, f"a counter, {span}"
        if is_steady:
            back = f", but falls back {self._falls} times" if self._falls else ""
            return Look.DOUBTFUL, f"{span}: rises steadily{back}"
        if reason := self._doubt(steps, is_counter=hints.is_of_counter(self._name)):
            return Look.DOUBTFUL, f"{span}: {reason}"
        if self._only_flags and not is_same and steps >= _EVIDENCE:
            return Look.FLAGS, f"{span}: only 0 and 1, as in a label"
        return (Look.CONSTANT if is_same else Look.NUMBERS), span

    def _is_date(self, steps: int) -> bool:
        """Whether the numbers are times since 1970, or dates in digits, and seldom fall."""
        if self._falls > steps / 100 or not (self._rises or hints.is_of_time(self._name)):
            return False
        is_digits = self._scales.digits(self._least, self._most) > 0
        return self._scales.unix_ns() > 0 or (is_digits and self._rises > 0)

    def _runs_on(self, steps: int) -> bool:
        """Whether it is a clock or counter by its name, or by both its name and its steps."""
        rises = self._rises > 0 or not steps
        if rises and hints.is_only_time(self._name):
            return True
        is_serial = hints.is_serial(self._name)
        if rises and is_serial and self._only_whole and not self._repeats:
            return True
        if self._restarts > _RESTARTS or not self._is_steady(steps):
            return False
        counts = self._only_whole and self._step == 1
        if not self._name:
            return counts or self.number == 1
        is_index = self.number == 1 and counts and self._first in (0, 1)
        is_time = hints.is_of_time(self._name) or hints.is_unit_of_time(self._name, self._unit)
        return is_index or is_time or hints.is_count(self._name)

    def _doubt(self, steps: int, *, is_counter: bool) -> str:
        """Why it may be no sensor, although it is no clock or counter for sure."""
        same_steps = self._most_step - self._least_step <= 1e-6 * abs(self._most_step)
        doubts = (
            (self._rises == steps, "rises from each row to the next"),
            (self._falls == steps and same_steps, "falls steadily"),
            (self._is_staircase(), "rises by steps of one length, as a slow clock does"),
        )
        if is_counter and self._only_whole and self._least == self._most:
            return "as the number of a device"
        return next((why for holds, why in doubts if holds and steps >= _EVIDENCE), "")

    def _is_steady(self, steps: int) -> bool:
        """Whether it rises as clocks and counters do: always, and by the same step."""
        if self._repeats or self._step is None:
            return False
        is_exact = not self._falls and self._most_step - self._least_step <= 1e-6 * self._step
        enough = steps + 1 >= (_EXACT_EVIDENCE if is_exact else _EVIDENCE)
        return enough and self._steady >= _STEADY * (steps - self._falls)

    def _is_staircase(self) -> bool:
        """Whether it never falls, and rises after as many rows each time, by the same step."""
        inner = self._runs[1:]
        if self._falls or not self._repeats or len(inner) < _EVIDENCE:
            return False
        is_regular = max(inner) <= 1.5 * min(inner) + 1
        return is_regular and self._steady >= _STEADY * self._rises


def _is_finite(value: float) -> bool:
    return value - value == 0
