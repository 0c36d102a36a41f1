"""Text in columns, two spaces apart, for a terminal."""

from collections.abc import Iterable, Sequence

from quartet.foreign import shown

# A list of names and values looks alike whichever of its names are there.
_LEAST_NAME_WIDTH = 16


def aligned(rows: Sequence[Sequence[str]], *, names: int = 0) -> list[str]:
    """A line for each row, all of one length: the first `names` cells to the left, numbers right.

    No line ends with spaces, and none is broken by what a cell holds.
    """
    rows = [[*map(shown, row)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number < names else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def named(values: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each name with its value, the values below each other."""
    pairs = [(shown(name), shown(value)) for name, value in values]
    width = max((len(name) for name, _ in pairs), default=0)
    return [f"{name:<{max(width, _LEAST_NAME_WIDTH)}}  {value}" for name, value in pairs]
