"""`broker console` and the commands for its users."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import msgspec

from broker.config import Store
from broker.console.config import ConsoleSettings, check, database_path, store_of, with_store
from broker.predictors.load import load as load_predictor
from quartet.distribution import to_install
from quartet.errors import StoreError
from quartet.inspection import (
    Remark,
    conclude,
    inspect_configuration,
    inspect_directory,
    inspect_identity,
    is_of_service,
)
from quartet.settings import load

NO_DATABASE = (
    "no file for history, notes and users: give --database PATH, or --config with console.database"
)
"""Where the store is a database, no file is beside it."""


def console(options: argparse.Namespace) -> int:
    """Run the console, or look after its users; the exit code."""
    settings = _settings(options)
    check(settings)
    store = store_of(settings, os.environ)
    database = database_path(settings, store, os.environ)
    if options.verb:
        return _user(options, database)
    if options.check:
        return _check_files(settings, store, database, options.read)
    if store is None:
        _misuse(
            options,
            "no store: give --store PATH, or --config with store.path. A broker without a store"
            " keeps its records in memory, where no command can read them: start it with 'broker"
            " run --store PATH'",
        )
    if database is None:
        _misuse(options, NO_DATABASE)
    try:
        from broker.console import app  # noqa: PLC0415 - so that settings are checked without it
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        print(f"broker: {missing} is missing: {to_install('console')}", file=sys.stderr)
        return 1
    app.run(settings, store, database, options.read)
    return 0


def example() -> str:
    """The example of a configuration."""
    from quartet.example import text  # noqa: PLC0415 - no command reads our own code

    return text("broker console", ConsoleSettings, {})


def _user(options: argparse.Namespace, database: Path | None) -> int:
    from broker.console import users  # noqa: PLC0415 - no other command needs it

    if database is None:
        _misuse(options, NO_DATABASE)
    return users.run(options, database)


def _misuse(options: argparse.Namespace, text: str) -> NoReturn:
    misuse: Callable[[str], NoReturn] = options.misuse
    misuse(text)


def _check_files(
    settings: ConsoleSettings, store: Store | None, database: Path | None, path: Path | None
) -> int:
    """What a file on standard input names is on another machine."""
    load_predictor(settings.predictor.use, settings.predictor.options)
    if path is None or path.is_file():
        own = inspect_configuration(path) if path else ()
        conclude("broker", [*own, *_remarks(settings, store, database)])
    print(f"broker: the configuration is right ({path or 'no file was read'})")
    return 0


def _remarks(
    settings: ConsoleSettings, store: Store | None, database: Path | None
) -> Iterator[Remark]:
    if settings.tls:
        from quartet.certificates import unfit_for_brokers  # noqa: PLC0415 - for TLS alone

        for each in inspect_identity(settings.tls.certificate, settings.tls.key, "broker", time):
            if isinstance(each, Remark):
                yield each
            elif reason := unfit_for_brokers(each):
                yield Remark(f"tls.certificate: {settings.tls.certificate}: {reason}", fails=True)
    if store is None:
        yield Remark("store.path: missing, and there is no $STATE_DIRECTORY", fails=False)
    elif isinstance(store, Path):
        yield from _file_remarks(store)
    else:
        yield from _database_remarks(store)
    if database:
        yield from _place_remarks("console.database", database)
    elif store:
        yield Remark(f"console.database: {NO_DATABASE}", fails=True)


def _file_remarks(store: Path) -> Iterator[Remark]:
    yield from _place_remarks("store.path", store)
    if os.path.isdir(store.parent) and not os.path.exists(store):  # noqa: PTH110, PTH112 - False also where nobody may look
        yield Remark(
            f"store.path: {store} does not exist: 'broker run --store {store}' makes it",
            fails=not is_of_service(store.absolute(), "broker"),
        )


def _database_remarks(url: str) -> Iterator[Remark]:
    """What the server says, which is asked once."""
    from broker.recorder.opening import open_reader  # noqa: PLC0415 - for a database alone

    try:
        asyncio.run(open_reader(url, prefers_standby=True).tail())
    except StoreError as error:
        yield Remark(f"store.url: {error}", fails=True)


def _place_remarks(key: str, file: Path) -> Iterator[Remark]:
    if file.is_dir():
        yield Remark(f"{key}: {file} is a directory: name a file in it", fails=True)
    else:
        yield from inspect_directory(key, file.absolute().parent, "broker")


def _settings(options: argparse.Namespace) -> ConsoleSettings:
    """The configuration file, with the command line over it."""
    path: Path | None = options.read
    settings = load(path, ConsoleSettings) if path else ConsoleSettings()
    replace, given = msgspec.structs.replace, vars(options)
    page = replace(
        settings.console,
        listen=given.get("listen") or settings.console.listen,
        database=given.get("database") or settings.console.database,
        insecure=given.get("insecure") or settings.console.insecure,
    )
    settings = replace(settings, console=page)
    return with_store(settings, given["store"]) if given.get("store") else settings
