"""What a peer or a file said, as a log and a terminal can take it.

Escaped is all that `str.isprintable` says no to: control characters and line ends, the escape
that terminals obey, marks that turn the direction of writing, invisible characters and unpaired
surrogates. What can be seen stays, `°C` say, and so does a backslash: shown twice is shown once.
"""

import json
import re

MOST = 200
"""Characters that are shown of one thing that was said."""

_LEFT_OUT = "..."

# What may be secret in a configuration: behind a user, behind the host of a URL, and by its key.
_OF_USER = re.compile(r""":(?!//)[^\s"']+@""")
_OF_URL = re.compile(r"""(\w+://[^\s/"']+/|\burl\s*=\s*["']?(?!\w+://))[^\s"']+""")
_OF_KEY = re.compile(r"((?i:password|passwd|secret|token)\s*=).*")

# A traceback of ours has fewer.
_MOST_LINES = 200
_MOST_IN_LINE = 2000


def shown(said: object, most: int = MOST) -> str:
    """It on one line of at most `most` characters; one that was cut ends with three dots."""
    text = said if isinstance(said, str) else _text(said)
    if not text and isinstance(said, BaseException):
        text = type(said).__name__
    if len(text) <= most and text.isprintable():
        return text
    pieces: list[str] = []
    length = cut_at = 0
    for character in text[: most + 1]:
        piece = _escaped(character)
        length += len(piece)
        if length > most:
            return "".join(pieces[:cut_at]) + _LEFT_OUT
        pieces.append(piece)
        if length <= most - len(_LEFT_OUT):
            cut_at = len(pieces)
    return "".join(pieces)


def without_secrets(text: str) -> str:
    """A text of a configuration, with dots for what may be secret in it."""
    text = _OF_URL.sub(rf"\1{_LEFT_OUT}", _OF_USER.sub(f":{_LEFT_OUT}@", text))
    return _OF_KEY.sub(rf"\1 {_LEFT_OUT}", text)


def described(error: BaseException, most: int = MOST) -> str:
    """An error of a stranger's code: its kind, and its text where it has one."""
    kind, text = type(error).__name__, _text(error)
    return shown(f"{kind}: {text}" if text else kind, most)


def in_lines(text: str, indent: str = "  ") -> str:
    """A text of ours over several lines, in which foreign ones may be: all but the first indented.

    So that none can pass for the beginning of another entry. Of very many lines, the first and
    the last are given.
    """
    if text.isprintable() and len(text) <= _MOST_IN_LINE:
        return text
    lines = text.split("\n")
    if (more := len(lines) - _MOST_LINES) > 0:
        half = _MOST_LINES // 2
        lines[half:-half] = [f"{_LEFT_OUT} {more} lines"]
    return f"\n{indent}".join(shown(line, _MOST_IN_LINE) for line in lines)


def in_json(document: str) -> str:
    """A JSON document that means the same, with nothing in it that a terminal obeys."""
    return "".join(
        character if character.isprintable() or character == "\n" else json.dumps(character)[1:-1]
        for character in document
    )


def _text(said: object) -> str:
    try:
        return str(said)
    except Exception:  # a stranger's, too
        return "(its text cannot be had)"


def _escaped(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]
