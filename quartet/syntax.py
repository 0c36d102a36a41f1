"""Why a text is not TOML: by its line, and in words for who has never heard of TOML."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from quartet.foreign import shown, without_secrets

# How tomllib ends what it says.
_PLACE = re.compile(r" \(at line (\d+), column \d+\)\Z")

_HEADER = re.compile(r"\s*(#?)\s*\[\[?\s*([\w.\- ]+?)\s*\]\]?\s*(?:#.*)?\Z")
_ASSIGNMENT = re.compile(r"\s*([\w\-.]+)\s*=")

# What people often write instead of TOML, and what to tell them. The first that fits counts.
_REST = r"\s*(?:#.*)?\Z"
_SLIPS = tuple(
    (re.compile(pattern), remedy)
    for pattern, remedy in (
        (r"=\s*([-+]?\d+),(\d+)", r"a decimal number is written with a point: \1.\2"),
        ("[\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb]", 'text is written in straight quotes: "'),
        (r"=\s*(?:\"[^\"]*|'[^']*)\Z", "the closing quote is missing"),
        (rf"=\s*(?i:true|false){_REST}", "true and false are written in lower case"),
        (rf"=\s*[-+]?[\d.]+\s*[A-Za-z%°/]+{_REST}", "a number is written without its unit"),
        (rf"=\s*([^\W\d_][^#]*?|[\d.]+:[^#]*?){_REST}", r'text is written in quotes: "\1"'),
    )
)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A key in its table, with the last table between the two that is commented out."""

    line: int
    path: str
    skipped: str
    skipped_line: int


def explained(text: str, error: Exception) -> str:
    """Say which line is not TOML, what is in it, and what is wrong; `error` is tomllib's."""
    reason = str(error)
    lines = text.split("\n")
    if place := _PLACE.search(reason):
        number = int(place[1])
        reason = reason[: place.start()]
    elif "end of document" in reason and (entries := list(_entries(text))):
        number = entries[-1].line
    else:
        return f"is not TOML: {shown(reason)}"
    line = without_secrets(lines[number - 1].strip())
    if "overwrite" in reason:
        why = _same_key(text, number)
    elif "declare" in reason:
        why = "this table is there already"
    else:
        why = _slip(line)
    return f"line {number}: is not TOML: {shown(line)}: {why or reason}"


def astray(text: str) -> dict[str, str]:
    """The keys below a table that is commented out, by their path in the file; and that table.

    They belong to the table before it.
    """
    return {entry.path: _skipped(entry) for entry in _entries(text) if entry.skipped}


def _entries(text: str) -> Iterator[_Entry]:
    table, skipped, skipped_line = "", "", 0
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line):
            if header[1]:
                skipped, skipped_line = header[2], number
            else:
                table, skipped = f"{header[2]}.", ""
        elif key := _ASSIGNMENT.match(line):
            yield _Entry(number, table + key[1], skipped, skipped_line)


def _skipped(entry: _Entry) -> str:
    return f"line {entry.skipped_line}, [{entry.skipped}], is commented out"


def _same_key(text: str, number: int) -> str:
    """Where the key of this line is for the first time."""
    entries = list(_entries(text))
    for second in entries:
        if second.line == number:
            first = next(entry for entry in entries if entry.path == second.path)
            if first is second:
                break  # as part of a key with a point
            remark = f'; {_skipped(second)}: remove its "#"' if second.skipped else ""
            return f"line {first.line} sets {second.path} already{remark}"
    return ""


def _slip(line: str) -> str:
    for pattern, remedy in _SLIPS:
        if found := pattern.search(line):
            return found.expand(remedy)
    return ""
