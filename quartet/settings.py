"""Configuration: a TOML file, checked as a whole against a tree of msgspec structs."""

import os
import tomllib
from pathlib import Path
from typing import Literal, TypeVar, get_args, get_origin

import msgspec

from quartet.errors import SettingsError
from quartet.foreign import shown
from quartet.kinds import either, expected, item, toml
from quartet.syntax import astray, explained


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a configuration file."""


class LogSettings(Table, frozen=True):
    """`[log]`: which messages are logged."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe level of message to log. Predictions are logged in any case."""


Kind = TypeVar("Kind", bound=Table)


def load(path: Path, kind: type[Kind]) -> Kind:
    """Read a TOML file into a struct; SettingsError names everything that is wrong with it."""
    try:
        text = path.read_text("utf-8-sig")  # Windows' Notepad begins a file with a mark
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path}: line {line}: is not UTF-8: save the file as UTF-8") from error
    return parse(text, path, kind)


def parse(text: str, path: Path, kind: type[Kind]) -> Kind:
    """Understand the text of the file at `path`; SettingsError as load()."""
    try:
        tree = tomllib.loads(f"{text}\n")  # so that an error in the last line has its number
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: {explained(text, error)}") from error
    if problems := _problems(tree, kind, ""):
        skipped = astray(text)
        raise SettingsError(
            *(
                f"{path}: {problem}"
                + (f'; {skipped[key]}: remove its "#"' if key in skipped else "")
                for problem in problems
                for key in [problem.partition(":")[0]]
            )
        )
    return msgspec.convert(tree, kind)


def differences(one: Table, other: Table) -> list[str]:
    """The settings in which two configurations of a kind differ, by their paths in the file."""
    return _differences(one, other, "")


def _differences(one: object, other: object, where: str) -> list[str]:
    if one == other:
        return []
    if type(one) is not type(other) or not isinstance(one, Table):
        return [where]
    prefix = f"{where}." if where else ""
    return [
        path
        for field in msgspec.structs.fields(one)
        for path in _differences(
            getattr(one, field.name), getattr(other, field.name), prefix + field.encode_name
        )
    ]


def secret(path: str) -> str:
    """Where a secret is read from: the copy that systemd made for the service, or its own file.

    LoadCredential= of a unit names the copy as the file is named.
    """
    copies = os.environ.get("CREDENTIALS_DIRECTORY")
    copy = os.path.join(copies, Path(path).name) if copies else ""  # noqa: PTH118 - as below
    return copy if os.path.isfile(copy) else path  # noqa: PTH113 - False also where nobody may look


def _problems(tree: object, kind: type[Table], where: str) -> list[str]:
    if not isinstance(tree, dict):
        return [f"{where}: expected a table, [{where}], got {_given(tree)}"]
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    prefix = f"{where}." if where else ""
    problems: list[str] = []
    for name, value in tree.items():
        if name in fields:
            problems += _problems_of_value(value, fields[name].type, prefix + name)
        elif name != kind.__struct_config__.tag_field:
            problems.append(f"{prefix}{shown(name)}: unknown key{_hint(name, list(fields))}")
    problems += [
        f"{prefix}{name}: missing"
        for name, field in fields.items()
        if field.required and name not in tree
    ]
    # What only the table as a whole can get wrong, once its parts are right: its
    # __post_init__ says so, and begins with the key.
    if problems or (refusal := _refusal(tree, kind)) is None:
        return problems
    return [f"{prefix}{refusal.partition(' - at `$')[0]}"]


def _problems_of_value(value: object, wanted: object, where: str) -> list[str]:
    kinds = get_args(wanted) or (wanted,)
    tables = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Table)]
    if not tables:
        return _problems_of_leaf(value, wanted, where)
    if get_origin(wanted) is tuple:
        if not isinstance(value, list):
            return [f"{where}: expected tables, each under [[{where}]], got {_given(value)}"]
        numbered = enumerate(value, 1)
        return [p for n, each in numbered for p in _problems(each, tables[0], f"{where}[{n}]")]
    if len(tables) > 1 and isinstance(value, dict):
        return _problems_of_choice(value, tables, where)
    return _problems(value, tables[0], where)


def _problems_of_choice(
    tree: dict[str, object], tables: list[type[Table]], where: str
) -> list[str]:
    """Of a table of which one key says what kind it is: first that key, then the others."""
    tag_field = tables[0].__struct_config__.tag_field or ""
    known = {table.__struct_config__.tag: table for table in tables}
    choices = either([toml(tag) for tag in known])
    if tag_field not in tree:
        return [f"{where}.{tag_field}: missing: expected {choices}"]
    tag = tree[tag_field]
    if not isinstance(tag, str) or tag not in known:
        return [f"{where}.{tag_field}: expected {choices}, got {_given(tag)}"]
    return _problems(tree, known[tag], where)


def _problems_of_leaf(value: object, wanted: object, where: str) -> list[str]:
    item_type = item(wanted)
    if item_type is not None and isinstance(value, list):
        return [
            problem
            for index, each in enumerate(value)
            for problem in _problems_of_leaf(each, item_type, f"{where}[{index}]")
        ]
    if _refusal(value, wanted) is None:
        return []
    example = ""
    if item_type is not None and _refusal(value, item_type) is None:
        example = f", for example {toml([value])}"
    return [f"{where}: expected {expected(wanted)}{example}, got {_given(value)}"]


def _refusal(value: object, wanted: object) -> str | None:
    """What msgspec says of a value that is not of the wanted type; None where it is."""
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def _given(value: object) -> str:
    return shown(repr(value))


def _hint(name: str, known: list[str]) -> str:
    import difflib  # noqa: PLC0415 - only a mistake needs it

    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; known keys are {', '.join(known)}" if known else "; this table has no keys"
