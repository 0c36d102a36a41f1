"""`broker notify`."""

import argparse
import asyncio
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from broker.beside import misuse, no_store
from broker.config import Store
from broker.feed import remarks
from broker.notify.config import Settings, check, database_path, store_of, with_options
from broker.notify.secrets import read_secret
from quartet.errors import SettingsError
from quartet.inspection import Remark, conclude, inspect_configuration, is_of_service
from quartet.settings import load, secret

NO_DATABASE = "no file for unsent messages: give --database PATH, or --config with notify.database"
"""Where the store is a database, no file is beside it."""


def notify(options: argparse.Namespace) -> int:
    """Tell until stopped, or check, or test; the exit code."""
    path: Path | None = options.read
    settings = load(path, Settings) if path else Settings()
    settings = with_options(settings, options.store, options.database)
    check(settings)
    store = store_of(settings, os.environ)
    database = database_path(settings, store, os.environ)
    if options.check:
        return _check_files(settings, store, database, path)
    if options.test:
        return _test(settings)
    if store is None:
        no_store(options, "store.path")
    if database is None:
        misuse(options, NO_DATABASE)
    from broker.notify import app  # noqa: PLC0415 - for a run alone

    app.run(settings, store, database, path)
    return 0


def example() -> str:
    """The example of a configuration."""
    from quartet.example import text  # noqa: PLC0415 - no command reads our own code

    return text("broker notify", Settings, {})


def _test(settings: Settings) -> int:
    from broker.notify.receivers import receivers, tried  # noqa: PLC0415 - as above

    return 0 if asyncio.run(tried(receivers(settings))) else 1


def _check_files(
    settings: Settings, store: Store | None, database: Path | None, path: Path | None
) -> int:
    """What a file on standard input names is on another machine."""
    if path is None or path.is_file():
        own = inspect_configuration(path) if path else ()
        conclude("broker", [*own, *_remarks(settings, store, database, path)])
    print(f"broker: the configuration is right ({path or 'no file was read'})")
    return 0


def _remarks(
    settings: Settings, store: Store | None, database: Path | None, path: Path | None
) -> Iterator[Remark]:
    from broker.notify.webhook import signing_key, tls_context  # noqa: PLC0415 - as above

    yield from remarks.of_store(store, path)
    if database:
        yield from remarks.of_place("notify.database", database)
    elif store:
        yield Remark(f"notify.database: {NO_DATABASE}", fails=True)
    mail = settings.mail
    for each in settings.webhook:
        if each.secret_file:
            yield from _of_secret("webhook.secret_file", each.secret_file, signing_key)
    if mail and mail.password_file:
        password = partial(read_secret, "mail.password_file")
        yield from _of_secret("mail.password_file", mail.password_file, password)
    authorities = [("webhook.ca", each.ca) for each in settings.webhook]
    for key, ca in [*authorities, ("mail.ca", mail.ca if mail else None)]:
        try:
            tls_context(key, ca)
        except SettingsError as error:
            yield Remark(str(error), fails=True)


def _of_secret(key: str, file: str, read: Callable[[str], object]) -> Iterator[Remark]:
    from quartet.pem import is_readable_by_all  # noqa: PLC0415 - as above

    path = secret(file)
    try:
        read(file)
    except SettingsError as error:
        is_away = not os.access(path, os.R_OK) and is_of_service(Path(file).absolute(), "broker")
        yield Remark(str(error), fails=not is_away)
        return
    if is_readable_by_all(path):
        yield Remark(f"{key}: anyone here can read {file}: 'chmod 600 {file}'", fails=False)
