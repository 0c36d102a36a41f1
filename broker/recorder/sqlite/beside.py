"""What a second program asks before it opens a store, so that it makes nothing worse."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from broker.recorder.sqlite.hold import lock_path
from broker.recorder.sqlite.schema import check_kind, damage_told
from broker.recorder.sqlite.signature import Note, refuse_foreign_log
from broker.recorder.sqlite.wal import refuse_lone_log
from broker.recorder.sqlite.watch import LOGS
from quartet.database import store_error
from quartet.errors import StoreError
from quartet.lock import holder, read_note

# How long a broker may take to open a store, or to mend it: its looks are 1 s apart.
_OPENING_S = 3.0
_LOOK_S = 0.05


@contextmanager
def checked(path: Path) -> Iterator[None]:
    """Have a file be a store that may be opened; what SQLite raises while entered is a StoreError.

    Damage comes with what to do.
    """
    try:
        there = path.is_file()
    except PermissionError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    if not there:
        refuse_lone_log(path)
        raise StoreError(
            f"{path}: there is no such file: name the store of a broker; 'broker run --store PATH'"
            " makes one"
        )
    await_owner(path)
    with damage_told(path):
        check_kind(path)
        refuse_foreign_log(path)
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise store_error(path, error) from error


def await_owner(path: Path) -> None:
    """Refuse a file that a broker has open without its logs: to make them harms it.

    Also one beside logs that belong to another file, which a broker has open. A broker that
    starts or stops is given 3 s. StoreError after that.
    """
    path = path.resolve()
    end_s = time.monotonic() + _OPENING_S
    while (obstacle := _obstacle(path)) and (owner := holder(lock_path(path))):
        if time.monotonic() > end_s:
            raise StoreError(
                f"{obstacle}, and process {owner} uses the store: wait until it has finished or"
                " repaired it, or stop it"
            )
        time.sleep(_LOOK_S)


def _obstacle(path: Path) -> str:
    """What a running broker would have otherwise; empty: nothing."""
    if missing := [f"{path}{log}" for log in LOGS if not Path(f"{path}{log}").exists()]:
        return f"{' and '.join(missing)}: is missing"
    inode = Note.parse(read_note(lock_path(path))).inode
    try:
        is_another = inode not in {0, path.stat().st_ino}
    except FileNotFoundError:
        return f"{path}: is missing"
    return f"{path}: is another file than the one in use" if is_another else ""
