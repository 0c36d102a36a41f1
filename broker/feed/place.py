"""Which store a program beside the broker reads, and where it keeps its own file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from broker.config import Store, StoreUrl, check_url, given_store
from quartet.errors import SettingsError
from quartet.settings import Table


class StoreSettings(Table, frozen=True):
    """`[store]`: the records of the broker."""

    path: Annotated[str, msgspec.Meta(examples=["/var/lib/broker/broker.db"])] | None = None
    """File of the broker's store. By default broker.db in the $STATE_DIRECTORY of the service."""
    url: StoreUrl | None = None
    """PostgreSQL database of the brokers, in place of a file. If it names several servers, a
    standby is read. The password is read from ~/.pgpass or from the file that PGPASSFILE names."""

    def __post_init__(self) -> None:
        if self.url is None:
            return
        try:
            check_url(self.url)
        except ValueError as error:
            raise ValueError(f"url: {error}") from None


def chosen(store: str) -> StoreSettings:
    """As an option says it, a path or a URL. SettingsError."""
    given = given_store(store)
    return StoreSettings(path=store) if isinstance(given, Path) else StoreSettings(url=given)


def store_of(settings: StoreSettings, environment: Mapping[str, str]) -> Store | None:
    """Where the broker's store is; None: nobody has said it."""
    if settings.url:
        return settings.url
    if settings.path:
        return Path(settings.path)
    directory = _state_directory(environment)
    return directory / "broker.db" if directory else None


def own_file(name: str, store: Store | None, environment: Mapping[str, str]) -> Path | None:
    """A file of the program's own: in the $STATE_DIRECTORY of its service, or beside the store.

    None: nobody has said where.
    """
    beside = store.absolute().parent if isinstance(store, Path) else None
    directory = _state_directory(environment) or beside
    return directory / name if directory else None


def check(settings: StoreSettings) -> None:
    """Raise SettingsError for what contradicts itself."""
    if settings.url and settings.path:
        raise SettingsError("store.url: contradicts store.path: remove one of the two")
    if settings.path and "://" in settings.path:
        raise SettingsError("store.path: expected a file: the key for a database is store.url")


def _state_directory(environment: Mapping[str, str]) -> Path | None:
    directory = environment.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(directory) if directory else None
