"""`broker console user`: who may sign in."""

import argparse
import asyncio
import getpass
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from broker.console.book.database import Database
from broker.console.book.model import MOST_NAME
from broker.console.book.people import People
from broker.console.passwords import LEAST, MOST, derived
from broker.errors import CommandError
from quartet.columns import aligned
from quartet.errors import SettingsError
from quartet.foreign import shown
from quartet.plural import counted


def run(options: argparse.Namespace, database: Path) -> int:
    """Do what was asked for; the exit code. CommandError, SettingsError or StoreError."""
    _check_owner(database)
    act = _ACTS[options.verb]
    return asyncio.run(_with(database, lambda people: act(people, options)))


async def _with(database: Path, act: "Callable[[People], Awaitable[None]]") -> int:
    opened = await Database.open(database)
    try:
        await act(People(opened))
    finally:
        await opened.close()
    return 0


async def _add(people: People, options: argparse.Namespace) -> None:
    name: str = options.name
    if not 1 <= len(name) <= MOST_NAME or not name.isprintable() or name != name.strip():
        raise SettingsError(f"NAME: expected 1 to {MOST_NAME} visible characters, got {name!r}")
    password = _password(is_piped=options.password_stdin)
    kept = derived(password)
    is_new = await people.put(name, options.role, kept.salt, kept.key)
    done = "added" if is_new else "changed, and signed out"
    print(f"{shown(name)}: {done}, as {options.role}")


async def _remove(people: People, options: argparse.Namespace) -> None:
    if not await people.remove(options.name):
        raise CommandError(_unknown(options.name))
    print(f"{shown(options.name)}: removed")


async def _list(people: People, _: argparse.Namespace) -> None:
    users = await people.users()
    rows = [(name, role, str(sessions)) for name, role, sessions in users]
    if not rows:
        print("no users: 'broker console user add NAME' adds one")
    else:
        print("\n".join(map(shown, aligned([("user", "role", "sessions"), *rows], names=2))))


async def _revoke(people: People, options: argparse.Namespace) -> None:
    if await people.password(options.name) is None:
        raise CommandError(_unknown(options.name))
    ended = await people.end_all(options.name)
    print(f"{shown(options.name)}: {counted(ended, 'session')} ended")


_ACTS: dict[str, Callable[[People, argparse.Namespace], Awaitable[None]]] = {
    "add": _add,
    "remove": _remove,
    "list": _list,
    "revoke": _revoke,
}


def _unknown(name: str) -> str:
    return f"{name}: there is no such user: 'broker console user list' lists all"


def _password(*, is_piped: bool) -> str:
    """As typed twice, or piped. SettingsError."""
    if is_piped:
        password = sys.stdin.readline().rstrip("\r\n")
    elif not sys.stdin.isatty():
        raise SettingsError("there is no terminal to ask for the password: use --password-stdin")
    else:
        password = getpass.getpass("Password: ")
        if getpass.getpass("The same again: ") != password:
            raise SettingsError("the two passwords differ: nothing was changed")
    if not LEAST <= len(password) <= MOST:
        raise SettingsError(f"password: expected {LEAST} to {MOST} characters")
    return password


def _check_owner(database: Path) -> None:
    """Refuse to make files, as root, that the service could not use."""
    directory = database.absolute().parent
    if os.geteuid() or not directory.is_dir():
        return
    if owner := (database if database.exists() else directory).stat().st_uid:
        raise SettingsError(
            f"{database}: belongs to another user: run this as that user, for example"
            f" 'sudo -u {_name(owner)} broker console user ...'"
        )


def _name(uid: int) -> str:
    import pwd  # noqa: PLC0415 - for this message alone

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
