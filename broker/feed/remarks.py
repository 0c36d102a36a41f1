"""What is to be said of the store that a program beside the broker reads, before a start."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from broker.config import Store
from broker.recorder.reader import Reader
from quartet.errors import NewerSchemaError, OlderSchemaError, StoreError
from quartet.inspection import Remark, inspect_directory, is_of_service


def of_store(store: Store | None, config: Path | None) -> Iterator[Remark]:
    """A database is asked once. A service has its $STATE_DIRECTORY, which a check has not."""
    if store is None:
        yield Remark(
            "store.path: no store: name it under [store], or by --store PATH. A service has one in"
            " its $STATE_DIRECTORY",
            fails=not (config and is_of_service(config.absolute(), "broker")),
        )
    elif isinstance(store, Path):
        yield from _of_file(store)
    else:
        yield from _of_database(store)


async def trouble_of(store: Store, reader: Reader) -> str:
    """Why a store cannot be read yet; empty: it can. StoreError where nobody should wait for it.

    A program that waited for a wrong file would take all agents for gone.
    """
    try:
        await reader.tail()
    except OlderSchemaError as error:
        return str(error)
    except StoreError as error:
        if isinstance(store, Path) or isinstance(error, NewerSchemaError):
            raise
        return str(error)
    return ""


def of_place(key: str, file: Path) -> Iterator[Remark]:
    """A file that is made where it is missing."""
    if file.is_dir():
        yield Remark(f"{key}: {file} is a directory: name a file in it", fails=True)
    else:
        yield from inspect_directory(key, file.absolute().parent, "broker")


def _of_file(store: Path) -> Iterator[Remark]:
    yield from of_place("store.path", store)
    if os.path.isdir(store.parent) and not os.path.exists(store):  # noqa: PTH110, PTH112 - False also where nobody may look
        yield Remark(
            f"store.path: {store} does not exist: 'broker run --store {store}' makes it",
            fails=not is_of_service(store.absolute(), "broker"),
        )


def _of_database(url: str) -> Iterator[Remark]:
    from broker.recorder.opening import open_reader  # noqa: PLC0415 - for a database alone

    try:
        asyncio.run(open_reader(url, prefers_standby=True).tail())
    except StoreError as error:
        yield Remark(f"store.url: {error}", fails=True)
