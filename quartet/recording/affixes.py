"""What some loggers write around a number in each row: its name, its unit."""

import re
from collections import Counter
from collections.abc import Sequence

Affix = tuple[str, str]
"""The name before a number and the unit behind it; "" for what is not there."""

NO_AFFIX: Affix = ("", "")
"""Nothing stands around a number."""

_AFFIXED = re.compile(
    r"\s*(?:(?P<name>[^\W\d][\w .()/#-]{0,40}?)\s*[:=]\s*)?"
    r"(?P<number>[-+]?[.,]?\d[\d.,]*(?:[eE][-+]?\d+)?)"
    r"\s*(?P<unit>[^\W\d_][^\s\d,;:=]{0,9}(?: [A-Za-z]{1,4})?|[°%][^\s\d,;:=]{0,9})?\s*"
)


def bare(cell: str, affix: Affix) -> str:
    """The number in a cell with this name and unit; another cell as it is."""
    if affix == NO_AFFIX:
        return cell
    found = _AFFIXED.fullmatch(cell)
    return found["number"] if found and _affix(found) == affix else cell


def common_affixes(rows: Sequence[Sequence[str]], *, must_vary: bool = False) -> tuple[Affix, ...]:
    """For each column what most of its cells have; none where no column has anything.

    Where the cells must vary, one that is "10 V" in each row is a setting, and has nothing.
    """
    if not rows:
        return ()
    width = Counter(map(len, rows)).most_common(1)[0][0]
    fitting = [row for row in rows if len(row) == width]
    affixes = tuple(_common([row[index] for row in fitting], must_vary) for index in range(width))
    return affixes if any(affix != NO_AFFIX for affix in affixes) else ()


def _common(cells: Sequence[str], must_vary: bool) -> Affix:
    matches = list(filter(None, map(_AFFIXED.fullmatch, cells)))
    if not matches:
        return NO_AFFIX
    affix, count = Counter(map(_affix, matches)).most_common(1)[0]
    is_constant = len({match["number"] for match in matches}) == 1
    return NO_AFFIX if 2 * count <= len(cells) or (must_vary and is_constant) else affix


def _affix(found: re.Match[str]) -> Affix:
    return (found["name"] or "").strip(), found["unit"] or ""
