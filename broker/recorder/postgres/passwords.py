"""The password for a server, from a file in the form of PostgreSQL's own programs (.pgpass).

asyncpg reads such files too. But it takes an escaped character for two, and refuses a credential of
systemd, because its mode shows the service's right to read it as the right of a group.
"""

import getpass
import os
import re
import stat
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from quartet.errors import StoreError

_PORT = "5432"

# A colon behind a backslash is part of a field.
_FIELD = r"((?:\\.|[^:\\])*)"
_LINE = re.compile(":".join([_FIELD] * 5) + ".*")
_ESCAPED = re.compile(r"\\(.)")


def password_of(url: str) -> str | None:
    """That of the first line for this server, database and user; None: there is none.

    The URL has one host. StoreError: it names no user, or the file cannot be read.
    """
    wanted = _wanted(url)
    file = _file()
    if file is None:
        return None
    for line in _read(file).splitlines():
        found = None if line.startswith("#") else _LINE.fullmatch(line)
        if found is None:
            continue
        *fields, password = (_ESCAPED.sub(r"\1", field) for field in found.groups())
        if all(field in {"*", of} for field, of in zip(fields, wanted, strict=True)):
            return password
    return None


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise StoreError(f"{file}: the password cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StoreError(f"{file}: the password cannot be read: save the file as UTF-8") from error


def _file() -> Path | None:
    """Where systemd puts the password for the service; else where PostgreSQL's programs look."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory and (file := Path(directory, "pgpass")).is_file():
        return file
    try:
        file = Path(os.environ.get("PGPASSFILE") or Path.home() / ".pgpass")
    except RuntimeError:  # a user who is not known on this machine
        return None
    # One that others may read is left to asyncpg, which warns of it.
    if "PGPASSWORD" in os.environ or not file.is_file() or _is_open(file):
        return None
    return file


def _is_open(file: Path) -> bool:
    return bool(file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _wanted(url: str) -> tuple[str, str, str, str]:
    """Host, port, database and user, as a line of the file names them."""
    parts = urlsplit(url)
    _, _, server = parts.netloc.rpartition("@")
    named = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    host, port = re.fullmatch(r"(\[[^]]*\]|[^:]*):?(.*)", server).groups()  # type: ignore[union-attr]
    user = unquote(parts.username or "") or named.get("user") or os.environ.get("PGUSER")
    user = user or _own_name()
    database = unquote(parts.path.removeprefix("/")) or named.get("dbname")
    return (
        host.strip("[]") or named.get("host") or os.environ.get("PGHOST") or "localhost",
        port or named.get("port") or os.environ.get("PGPORT") or _PORT,
        database or os.environ.get("PGDATABASE") or user,
        user,
    )


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise StoreError(
            "the URL of the database names no user, and the user of this process has no name: name"
            " one, as in postgresql://broker@db1/quartet"
        ) from error
