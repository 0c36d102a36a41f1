"""Each table and key of a configuration, with what the code says of it.

A table is described by the docstring of its struct, a key by the docstring below its field.
"""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import get_args, get_origin

import msgspec
from msgspec import NODEFAULT
from msgspec.structs import FieldInfo

from quartet.kinds import examples, expected, toml
from quartet.settings import Table

# By the end of a key's name. The first one that fits counts.
_UNITS = {
    "_hz": "Hz",
    "_us": "microseconds",
    "_s": "seconds",
    "_v": "volts",
    "_bytes": "bytes",
    "_days": "days",
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table."""

    name: str
    type: str
    """What it takes, in words."""
    default: str | None
    """As written in TOML; None where there is none, or none that is always the same."""
    examples: tuple[str, ...]
    """As written in TOML, where there is no default. Tables alike take one each, in order."""
    required: bool
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Section:
    """A table, or several alike; of a table that is of one kind of several, that kind."""

    paths: tuple[str, ...]
    kind: str | None
    """The value of its key `kind`."""
    repeated: bool
    optional: bool
    """It is not there by default."""
    meaning: str
    keys: tuple[Key, ...]

    @property
    def headers(self) -> list[str]:
        """Its first lines in a file."""
        return [f"[[{path}]]" if self.repeated else f"[{path}]" for path in self.paths]


def sections(settings: type[Table]) -> list[Section]:
    """All tables of a configuration, in the order of the code."""
    return list(_below(settings, ""))


def _below(table: type[Table], prefix: str) -> Iterator[Section]:
    fields = [field for field in msgspec.structs.fields(table) if tables_of(field.type)]
    for field in fields:
        alike = [each for each in fields if each.type == field.type]
        if alike[0] is not field:
            continue
        paths = tuple(prefix + each.encode_name for each in alike)
        kinds = tables_of(field.type)
        for kind in kinds:
            repeated = get_origin(field.type) is tuple
            optional = field.default is None or repeated or kind is not kinds[0]
            section = _section(kind, paths, repeated=repeated, optional=optional)
            if any(issubclass(kind, other) for other in kinds if other is not kind):
                yield replace(section, keys=())  # those of the other kind
                continue
            yield section
            yield from _below(kind, f"{paths[0]}.")


def _section(
    table: type[Table], paths: tuple[str, ...], *, repeated: bool, optional: bool
) -> Section:
    meanings = _meanings(table)
    tag = table.__struct_config__.tag
    return Section(
        paths,
        tag if isinstance(tag, str) else None,
        repeated,
        optional,
        _meaning(table),
        tuple(
            _key(field, meanings[field.name])
            for field in msgspec.structs.fields(table)
            if not tables_of(field.type)
        ),
    )


def _key(field: FieldInfo, meaning: str) -> Key:
    name, type_ = field.encode_name, expected(field.type)
    default = None if field.default is NODEFAULT or field.default is None else toml(field.default)
    if default and type_.startswith("0x"):
        default = hex(field.default)
    return Key(
        name,
        type_,
        default,
        tuple(map(toml, examples(field.type))),
        field.required,
        next((unit for end, unit in _UNITS.items() if name.endswith(end)), ""),
        meaning,
    )


def tables_of(kind: object) -> list[type[Table]]:
    """The tables among the members of a type."""
    kinds = get_args(kind) or (kind,)
    return [each for each in kinds if isinstance(each, type) and issubclass(each, Table)]


def _meaning(table: type[Table]) -> str:
    """The docstring of a table, without the names of the table that it begins with."""
    text = _in_one_line(table.__doc__ or "")
    _, colon, rest = text.partition(": ")
    return rest[:1].upper() + rest[1:] if colon and text.startswith("`[") else text


def _meanings(table: type[Table]) -> dict[str, str]:
    """The docstrings of a table's fields, by name, with those that it inherits."""
    found: dict[str, str] = {}
    for kind in reversed(table.__mro__):
        if not (issubclass(kind, Table) and kind is not Table):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for field, text in itertools.pairwise(body):
            match field, text:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(said))),
                ):
                    found[name] = _in_one_line(said)
    return found


def _in_one_line(text: str) -> str:
    return " ".join(text.split())
