"""Configuration: a TOML file, checked as a whole against a tree of msgspec structs."""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta

from quartet.address import Address
from quartet.errors import SettingsError
from quartet.foreign import shown, without_secrets
from quartet.kinds import either, expected, fractions, item, kind_of, parts, toml
from quartet.syntax import astray, explained

# Ends of keys. Of a file, the secret itself may stand where its path should.
_MAY_BE_SECRET = ("url", "_file", "key")

# How far off a fraction with two decimals is, at most.
_ROUNDED = 0.01


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a configuration file."""


class LogSettings(Table, frozen=True):
    """`[log]`: which messages are logged."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe level of message to log. Predictions are logged in any case."""


SYSTEM_AUTHORITIES = "system"
"""In place of a file: the authorities that this computer trusts."""

_Topic = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*\Z",
        max_length=100,
        description="a topic of letters, digits, '.', '_' and '-', with levels separated by '/'",
    ),
]


class MqttServer(Table, frozen=True):
    """An MQTT server, and what is published there."""

    address: Annotated[str, Meta(examples=["homeassistant.local:1883"])]
    """Host and port of the MQTT server, as HOST:PORT or [IPV6]:PORT."""
    insecure: bool = False
    """Connect to another machine without TLS. Anyone on the way can read the password."""
    ca: Annotated[str, Meta(examples=["/etc/ssl/certs/mqtt-ca.pem"])] | None = None
    """File in PEM: the authority that signed the certificate of the MQTT server. "system" stands
    for those that this computer trusts. Without it the connection has no TLS."""
    certificate: Annotated[str, Meta(examples=["mqtt.pem"])] | None = None
    """File in PEM: the certificate of this client, where the MQTT server wants one."""
    key: Annotated[str, Meta(examples=["mqtt.key"])] | None = None
    """File in PEM: the private key of the certificate."""
    username: Annotated[str, Meta(min_length=1, max_length=1000, examples=["quartet"])] | None = (
        None
    )
    """Name of the user on the MQTT server."""
    password_file: Annotated[str, Meta(examples=["mqtt.password"])] | None = None
    """File with the password of the user, and nothing else."""
    topic_prefix: _Topic = "quartet"
    """First levels of all topics."""
    discovery: bool = True
    """Have Home Assistant find each agent as a device. false: take the devices away."""
    discovery_prefix: _Topic = "homeassistant"
    """First levels of the topics at which Home Assistant listens."""
    interval_s: Annotated[float, Meta(ge=1, le=3600)] = 1.0
    """Shortest time between two messages with values. A change of the alarm is published within
    a second. Each message is a row per sensor in the database of Home Assistant."""

    def __post_init__(self) -> None:
        server = Address.parse(self.address, "address", "127.0.0.1:1883")
        if server.port == 0:
            raise ValueError("address: a server cannot have port 0")
        if not server.is_loopback and self.ca is None and not self.insecure:
            raise ValueError(
                f"address: {server} is another machine, and there is no ca, which turns TLS on:"
                " messages would be sent unencrypted; set ca, or allow it with insecure = true"
            )
        if self.ca is not None and self.insecure:
            raise ValueError("insecure: contradicts ca: remove one of the two")
        if (self.certificate is None) != (self.key is None):
            missing = "key" if self.key is None else "certificate"
            raise ValueError(f"{missing}: missing: a certificate needs its key, and the reverse")
        if self.certificate is not None and self.ca is None:
            raise ValueError("certificate: needs ca, which turns TLS on")
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file: needs username")


Kind = TypeVar("Kind", bound=Table)


def load(path: Path, kind: type[Kind]) -> Kind:
    """Read a TOML file into a struct; SettingsError names everything that is wrong with it."""
    try:
        text = path.read_text("utf-8-sig")  # Windows' Notepad begins a file with a mark
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError)
        advice = ": write it, or name another file with --config" if is_missing else ""
        raise SettingsError(f"{path}: cannot be read: {error.strerror}{advice}") from error
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
        return [f"{where}: expected a table, [{where}], got {kind_of(tree)}"]
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    prefix = f"{where}." if where else ""
    problems: list[str] = []
    for name, value in tree.items():
        if name in fields:
            problems += _problems_of_value(value, fields[name].type, prefix + name)
        elif name != kind.__struct_config__.tag_field:
            problems.append(f"{prefix}{shown(name)}: unknown key{_hint(name, value, kind, prefix)}")
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
            return [f"{where}: expected tables, each under [[{where}]], got {kind_of(value)}"]
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
        return [f"{where}.{tag_field}: expected {choices}, got {_given(tag, tag_field)}"]
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
    given = f"{_given(value, where)}{_meant(value, wanted)}"
    return [f"{where}: expected {expected(wanted)}{example}, got {given}"]


def _tables_of(wanted: object) -> list[type[Table]]:
    """The tables that a type takes."""
    return [kind for kind in parts(wanted) if isinstance(kind, type) and issubclass(kind, Table)]


def _refusal(value: object, wanted: object) -> str | None:
    """What msgspec says of a value that is not of the wanted type; None where it is."""
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def _given(value: object, key: str) -> str:
    """A value that is refused; only its kind where all of it may be secret, as in a URL."""
    text = repr(value)
    if key.endswith(_MAY_BE_SECRET):
        return "a number" if type(value) in (int, float) else kind_of(value)
    return kind_of(value) if "{" in text else shown(without_secrets(text))


def _hint(name: str, value: object, kind: type[Table], prefix: str) -> str:
    import difflib  # noqa: PLC0415 - only a mistake needs it

    fields = msgspec.structs.fields(kind)
    known = [field.encode_name for field in fields]
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    homes = {
        f"[{prefix}{field.encode_name}]": key.type
        for field in fields
        for table in _tables_of(field.type)
        for key in msgspec.structs.fields(table)
        if key.encode_name == name
    }
    if homes:
        return f"; it belongs in {either(list(homes))}{_meant(value, next(iter(homes.values())))}"
    return f"; known keys are {', '.join(known)}" if known else "; this table has no keys"


def _meant(value: object, wanted: object) -> str:
    """The text of a fraction, where a number stands for it: 0.667 for "2/3"."""
    if not isinstance(value, float):
        return ""
    from fractions import Fraction  # noqa: PLC0415 - as above

    near = [each for each in fractions(wanted) if abs(value - Fraction(each)) < _ROUNDED]
    return f": did you mean {toml(near[0])}, in quotes?" if near else ""
