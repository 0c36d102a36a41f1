"""The latest rows of a line, thinned: what a level is learned from, and judged by."""

from array import array

from broker.predictors.chart import vectors
from quartet.channels import CHANNELS, FLOAT32_MAX, Values
from quartet.plural import counted

# Rows that follow each other say much the same. 100 of them show a level and its scatter, and fit
# into a state below 3 kB as float32, which is what the wire brings.
_MOST_KEPT = 100

# So many times within its span a window is looked at again: often enough to lose no time, seldom
# enough that it costs nothing.
_LOOKS_A_SPAN = 10


class Rows:
    """A window of the latest `span` rows, of which at most 100 are kept."""

    __slots__ = ("_most_numbers", "every", "look", "numbers", "seen", "span")

    def __init__(self, span: int) -> None:
        self.span = span
        self.every = -(-span // _MOST_KEPT)
        """The number of rows of which one is kept."""
        self.look = max(1, span // _LOOKS_A_SPAN)
        """So many rows lie between two looks at a window that is full."""
        self._most_numbers = span // self.every * CHANNELS
        self.seen = 0
        self.numbers = array("f")

    def add(self, values: Values) -> bool:
        """Take a row; whether it is time to look at what is kept."""
        if self.seen % self.every == 0:
            self.numbers.extend(values)
            del self.numbers[: -self._most_numbers]
        self.seen += 1
        beyond = self.seen - self.span
        return beyond >= 0 and beyond % self.look == 0

    def kept(self) -> list[Values]:
        """The rows kept, the oldest first."""
        numbers = iter(self.numbers)
        return list(zip(numbers, numbers, numbers, numbers, strict=True))

    def move(self, by: Values) -> None:
        """Add the same to each row."""
        rows = (vectors.bounded(vectors.added(row, by), FLOAT32_MAX) for row in self.kept())
        self.numbers = array("f", (value for row in rows for value in row))

    def take(self, seen: int, numbers: "array[float]") -> None:
        """Have seen `seen` rows and kept these numbers. ValueError if that cannot be."""
        if len(numbers) != min(-(-seen // self.every) * CHANNELS, self._most_numbers):
            raise ValueError(f"{len(numbers)} numbers are kept, of {counted(seen, 'row')}")
        self.seen, self.numbers = seen, numbers
