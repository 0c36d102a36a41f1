"""What a key of a configuration takes, in words: for messages and for the reference."""

import math
import re
from collections.abc import Iterator, Sequence
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from msgspec import Meta

_FRACTION = re.compile("[0-9]+/[0-9]+")

_NAMES: dict[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text in quotes",
}


def expected(wanted: object) -> str:
    """What a type takes, such as "a whole number from 1 to 64"."""
    return either(list(_alternatives(wanted)))


def kind_of(value: object) -> str:
    """What a value of a TOML file is, such as "a list", without what is in it; a number itself."""
    if isinstance(value, bool | int | float):
        return toml(value)
    match value:
        case dict():
            return "a table"
        case list():
            return "a list"
        case str():
            return _NAMES[str]
    return "a date or time"


def is_obvious(wanted: str) -> bool:
    """Whether what a key takes is seen from its value."""
    return wanted in (_NAMES[bool], _NAMES[str], "a table", "a list")


def toml(value: object) -> str:
    """A value as it is written in a TOML file."""
    match value:
        case bool():
            return str(value).lower()
        case float() if math.isinf(value):
            return "inf" if value > 0 else "-inf"
        case int() | float():
            return str(value)
        case list() | tuple():
            return f"[{', '.join(map(toml, value))}]"
        case dict():
            return "{" + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + "}"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def either(choices: Sequence[str]) -> str:
    """The choices as a list in a sentence: a, b or c."""
    *others, last = choices
    return f"{', '.join(others)} or {last}" if others else last


def fractions(wanted: object) -> list[str]:
    """The texts that a type takes and that are fractions, such as "2/3"."""
    literals = [kind for kind in map(_bare, parts(wanted)) if get_origin(kind) is Literal]
    words = [word for kind in literals for word in get_args(kind) if isinstance(word, str)]
    return [word for word in words if _FRACTION.fullmatch(word)]


def item(wanted: object) -> object | None:
    """The type of the items, where a type is a list; otherwise None."""
    lists = [kind for kind in map(_bare, parts(wanted)) if get_origin(kind) is tuple]
    return get_args(lists[0])[0] if lists else None


def examples(wanted: object) -> list[object]:
    """The values that its type is annotated with, for a key that has no default."""
    for kind in parts(wanted):
        metas = get_args(kind)[1:] if get_origin(kind) is Annotated else ()
        for meta in metas:
            if meta.examples:
                return list(meta.examples)
    return []


def _alternatives(wanted: object) -> Iterator[str]:
    for kind in parts(wanted):
        origin = get_origin(_bare(kind))
        if description := _description(kind):
            yield description
        elif origin is Literal:
            yield from map(toml, get_args(_bare(kind)))
        elif origin is tuple:
            yield "a list"
        elif origin is dict:
            yield "a table"
        elif get_origin(kind) is Annotated:
            yield _bounded(*get_args(kind))
        elif kind is not NoneType:
            yield _NAMES[kind]


def parts(wanted: object) -> Iterator[object]:
    """The members of a union, or the type itself."""
    if get_origin(wanted) in (Union, UnionType):
        for kind in get_args(wanted):
            yield from parts(kind)
    else:
        yield wanted


def _bare(kind: object) -> object:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _description(kind: object) -> str | None:
    """What a type itself says that it takes, where it does."""
    metas = get_args(kind)[1:] if get_origin(kind) is Annotated else ()
    return next((meta.description for meta in metas if meta.description), None)


def _bounded(kind: object, *metas: Meta) -> str:
    bounds = [bound for meta in metas for bound in _bounds(meta)]
    return " ".join([_NAMES[kind], *bounds])


def _bounds(meta: Meta) -> Iterator[str]:
    if meta.ge is not None and meta.le is not None:
        yield f"from {_plain(meta.ge)} to {_plain(meta.le)}"
        return
    if meta.ge is not None:
        yield f"of at least {_plain(meta.ge)}"
    if meta.gt is not None:
        yield f"above {_plain(meta.gt)}"
    if meta.le is not None:
        yield f"up to {_plain(meta.le)}"


def _plain(number: float) -> str:
    return str(int(number) if number == int(number) else number)
