"""`broker console` and the commands for its users."""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from broker.beside import misuse, no_store
from broker.config import Store
from broker.console.config import ConsoleSettings, check, database_path, store_of, with_store
from broker.feed import remarks
from broker.predictors.load import load as load_predictor
from quartet.distribution import to_install
from quartet.inspection import (
    Remark,
    conclude,
    inspect_configuration,
    inspect_identity,
)
from quartet.settings import load
from quartet.stdout import dispensable

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
        no_store(options, "store.path")
    if database is None:
        misuse(options, NO_DATABASE)
    try:
        from broker.console import app  # noqa: PLC0415 - so that settings are checked without it
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        print(f"broker: {missing} is missing: {to_install('console')}", file=sys.stderr)
        return 1
    with dispensable():
        app.run(settings, store, database, options.read)
    return 0


def example() -> str:
    """The example of a configuration."""
    from quartet.example import text  # noqa: PLC0415 - no command reads our own code

    return text("broker console", ConsoleSettings, {})


def _user(options: argparse.Namespace, database: Path | None) -> int:
    from broker.console import users  # noqa: PLC0415 - no other command needs it

    if database is None:
        misuse(options, NO_DATABASE)
    return users.run(options, database)


def _check_files(
    settings: ConsoleSettings, store: Store | None, database: Path | None, path: Path | None
) -> int:
    """What a file on standard input names is on another machine."""
    load_predictor(settings.predictor.use, settings.predictor.options)
    if path is None or path.is_file():
        own = inspect_configuration(path) if path else ()
        conclude("broker", [*own, *_remarks(settings, store, database, path)])
    print(f"broker: the configuration is right ({path or 'no file was read'})")
    return 0


def _remarks(
    settings: ConsoleSettings, store: Store | None, database: Path | None, path: Path | None
) -> Iterator[Remark]:
    if settings.tls:
        from quartet.certificates import unfit_for_brokers  # noqa: PLC0415 - for TLS alone

        for each in inspect_identity(settings.tls.certificate, settings.tls.key, "broker", time):
            if isinstance(each, Remark):
                yield each
            elif reason := unfit_for_brokers(each):
                yield Remark(f"tls.certificate: {settings.tls.certificate}: {reason}", fails=True)
    yield from remarks.of_store(store, path)
    if database:
        yield from remarks.of_place("console.database", database)
    elif store:
        yield Remark(f"console.database: {NO_DATABASE}", fails=True)


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
