"""Makes a new store of all that a damaged one still tells."""

import sqlite3
from contextlib import closing
from pathlib import Path

from broker.recorder.sqlite import place
from broker.recorder.sqlite.erasing import Eraser
from broker.recorder.sqlite.schema import MIGRATIONS
from broker.recorder.sqlite.upkeep.check import check
from broker.recorder.sqlite.upkeep.mend import Mended, mend
from broker.recorder.sqlite.upkeep.pages import Pages
from broker.recorder.sqlite.upkeep.salvage import Salvage
from broker.recorder.upkeep import Findings, Repair
from quartet.clock import Clock
from quartet.database import store_error
from quartet.errors import StoreError
from quartet.plural import counted


def repair(path: Path, clock: Clock, *, is_torn: bool) -> Repair:
    """Repair a store that nobody else uses; `is_torn`: its log is. StoreError: nothing changed."""
    if not check(path).problems and not is_torn:
        return Repair(None)
    new = place.draft(path)
    try:
        with closing(sqlite3.connect(new, isolation_level=None)) as rows:
            mended, torn = _fill(rows, path, clock)
    except sqlite3.Error as error:
        raise store_error(new, error) from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    findings = check(new)
    if findings.problems:
        raise StoreError(f"{path}: the readable records are not consistent: {findings.problems[0]}")
    if not _has_any(findings, new):
        raise StoreError(
            f"{path}: nothing in it can be read: restore a backup with 'broker store restore', or"
            " move it away, and the broker creates a new one"
        )
    aside = place.exchange(path, new, "repaired")
    return Repair(
        aside,
        findings.samples,
        mended.losses,
        mended.notes,
        answered=mended.answered,
        on_record=mended.on_record,
        missing=mended.answered - mended.on_record,
        booked=mended.booked,
        is_sure=not torn and not mended.rebuilt,
    )


def _fill(rows: sqlite3.Connection, path: Path, clock: Clock) -> tuple[Mended, frozenset[str]]:
    """Fill the draft; which of the books' tables could not be read whole."""
    # The draft is worth nothing until it is whole, and is flushed then.
    rows.execute("PRAGMA journal_mode = off")
    rows.execute("PRAGMA synchronous = off")
    for version, script in enumerate(MIGRATIONS, 1):
        rows.executescript(f"{script}; PRAGMA user_version = {version}")
    salvage = Salvage(rows)
    with Pages(path) as pages:
        rows.execute("BEGIN")
        salvage.fill(pages)
        rows.execute("COMMIT")
        # What an index says of lines is for those whose own rows are lost.
        rows.execute("DELETE FROM known_lines WHERE line IN (SELECT line FROM lines)")
        had_forgotten = Eraser(rows, clock).finish()
        rows.execute("BEGIN")
        mended = mend(rows, clock.time_ns())
        notes = mended.notes
        rows.execute("COMMIT")
        if had_forgotten:
            notes.append("'broker forget' was not finished: the remaining records are deleted")
        if not pages.has_header:
            notes.append("the file's header is torn: records that were deleted may be back")
    if salvage.unsound:
        left_out = counted(salvage.unsound, "damaged row", "was", "were")
        notes.append(f"{left_out} left out")
    if "sessions" in salvage.torn:
        read = mended.sessions - mended.rebuilt
        notes.append(
            f"{counted(read, 'session')} could be read: others may be missing, with their samples"
        )
    if "losses" in salvage.torn:
        notes.append("earlier losses may be missing: not all could be read")
    return mended, salvage.torn


def _has_any(findings: Findings, path: Path) -> bool:
    with closing(sqlite3.connect(path)) as rows:
        lines: int = rows.execute("SELECT count(*) FROM lines").fetchone()[0]
    return bool(findings.samples or lines)
