"""What the built-in black boxes make of rows that are no measurement."""

import math

from quartet.channels import Values
from quartet.plural import counted

# Fewer rows in a row without a value on some channel are a loose contact, and change nothing.
_NEWS_AT = 3


def is_measured(values: Values) -> bool:
    """Whether all four are numbers: neither NaN nor infinite.

    A sum of float32 does not overflow here: it is finite exactly if all of them are.
    """
    first, second, third, fourth = values
    return math.isfinite(first + second + third + fourth)


class Failures:
    """Counts such rows in a row, as far as that matters."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    @property
    def are_news(self) -> bool:
        """Whether they are too many to be passed over."""
        return self.count == _NEWS_AT

    def add(self, values: Values) -> str | None:
        """Count one; what is to be said of it."""
        if self.are_news:
            return None
        self.count += 1
        if not self.are_news:
            return None
        failed = [f"sensor{n}" for n, value in enumerate(values, 1) if not math.isfinite(value)]
        return f"{', '.join(failed)}: no value, {_NEWS_AT} rows in a row"

    def end(self) -> str | None:
        """A row was measured again; what is to be said of it."""
        were_news = self.are_news
        self.count = 0
        return "all sensors have values again" if were_news else None

    def restore(self, count: int) -> None:
        """Have counted so many. ValueError if it cannot have."""
        if count > _NEWS_AT:
            raise ValueError(f"{counted(count, 'row')} failed, of at most {_NEWS_AT}")
        self.count = count
