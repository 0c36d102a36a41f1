"""Copies of a store: made beside a running broker, and put back."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from broker.recorder.sqlite import place
from broker.recorder.sqlite.books import SessionRow, gaps, sessions
from broker.recorder.sqlite.upkeep.check import check, open_any
from broker.recorder.upkeep import Backup, Newest, Problem, Restored, without
from quartet.database import integrity, store_error, transaction_to_read
from quartet.errors import StoreError


def backup(path: Path, to: Path) -> Backup:
    """Copy one state of a store to a file that is not there yet. StoreError: it is not made.

    The copy belongs to the store's owner, who alone can read it.
    """
    if os.path.lexists(to):
        raise StoreError(f"{to}: already exists: name a new file, or move that one away")
    if not to.absolute().parent.is_dir():
        raise StoreError(f"{to}: there is no directory {to.absolute().parent}: create it")
    new = to.with_name(f"{to.name}.part")
    new.unlink(missing_ok=True)
    try:
        place.create(new, path)
        _copy(path, new)
        newest = _verify(new)
        place.flush(new)
        os.link(new, to)  # unlike a rename, it never replaces a file
        place.flush(to.absolute().parent)
        return Backup(to, to.stat().st_size, newest)
    except FileExistsError as error:
        raise StoreError(f"{to}: already exists: name a new file") from error
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{to}: cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            new.unlink()


def restore(path: Path, source: Path) -> Restored:
    """Put a backup into the place of a store that nobody else uses.

    StoreError: nothing was changed. The former store is set aside.
    """
    if not source.is_file():
        raise StoreError(f"{source}: there is no such file")
    if path.exists() and path.samefile(source):
        raise StoreError(f"{source}: is the store itself: name a backup")
    findings = check(source)
    if findings.problems:
        raise StoreError(_unsound(source, findings.problems[0]))
    new = place.draft(path)
    _copy(source, new)
    if found := check(new).problems:
        raise StoreError(_unsound(source, found[0]))
    lacks, unknown = _lacks(path, new)
    return Restored(place.exchange(path, new, "restored"), lacks, unknown)


def _copy(path: Path, to: Path) -> None:
    """Copy one state of a store to an empty file, which is one file by itself."""
    try:
        with closing(open_any(path)) as rows, closing(sqlite3.connect(to)) as copy:
            rows.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode = delete")
    except sqlite3.Error as error:
        raise store_error(to, error) from error


def _verify(copy: Path) -> list[Newest]:
    """Check a copy, and tell up to where it goes."""
    try:
        with closing(open_any(copy)) as rows:
            if found := integrity(rows, 1):
                raise StoreError(
                    f"the store is damaged ({found[0]}), so its copy would be too:"
                    " see 'broker store check'"
                )
            newest = {
                row.agent_id: Newest(row.agent_id, row.session_id, row.last_id)
                for row in sessions(rows)
                if row.last_id is not None
            }
    except sqlite3.Error as error:
        raise store_error(copy, error) from error
    return [newest[agent_id] for agent_id in sorted(newest)]


def _lacks(former: Path, new: Path) -> tuple[list[Problem], str]:
    """What a store has that the one for its place has not; and why that is not all, if so."""
    if not former.exists() or not former.stat().st_size:
        return [], ""
    try:
        with closing(open_any(new)) as rows:
            ends = {(row.agent_id, row.session_id): row.last_id for row in sessions(rows)}
        with closing(open_any(former)) as rows, transaction_to_read(rows):
            return [
                problem
                for row in sessions(rows)
                if (problem := _lacking(rows, row, ends.get((row.agent_id, row.session_id))))
            ], ""
    except (sqlite3.Error, StoreError, UnicodeDecodeError) as error:
        return [], f"the old store cannot be read ({error})"


def _lacking(rows: sqlite3.Connection, row: SessionRow, end: int | None) -> Problem | None:
    if row.first_id is None or row.last_id is None:
        return None
    first = row.first_id if end is None else end + 1
    ids = without([(first, row.last_id)] if first <= row.last_id else [], gaps(rows, row.session))
    if not ids:
        return None
    return Problem(
        "not in the backup",
        "its next sample shows them as a gap in the ledger",
        *(row.agent_id, row.session_id),
        ids,
    )


def _unsound(source: Path, problem: Problem) -> str:
    said = f"{source}: is damaged: {problem.what}"
    if any(Path(f"{source}{log}").exists() for log in ("-wal", "-journal")):
        return (
            f"{said}; it is a copy of a running broker's files: use a backup by"
            " 'broker store backup'"
        )
    return f"{said}: use another backup"
