"""Whether a store's file is the one that its last owner left: asked before it is opened.

A log of commits belongs to one state of one file. SQLite writes it into whatever file lies there,
also into an older copy, which destroys that. So each broker that opens a store puts a random
id of its run into the file and into the lock file, where it also notes a clean end.
"""

import logging
import os
import re
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from broker.recorder.sqlite.books import losses, sessions, unbooked
from broker.recorder.sqlite.hold import Hold, lock_path
from broker.recorder.sqlite.wal import has_log, is_file, refuse_lone_log, unread_frames
from broker.recorder.upkeep import whose
from quartet.database import integrity, store_error, transaction
from quartet.errors import DamagedError, StoreError
from quartet.lock import read_note
from quartet.plural import counted

log = logging.getLogger(__name__)

_RUN = re.compile(r"run ([0-9a-f]{32})")
_BOOT = re.compile(r"boot ([0-9a-f-]{36})")
_INODE = re.compile(r"inode (\d{1,20})")
_SIGNED = re.compile(r"signed (\d{1,19})")
_CLEAN = re.compile(r"clean (\d{1,19}) (\d{1,19})")

# A commit is on its way to the file for less than this after its samples came.
_COMMIT_NS = 5 * 10**9

_REMEDY = (
    "restore a backup with 'broker store restore', or, to use this file alone, move its"
    " -wal and -shm away"
)

NOT_ITS_OWN = "the log beside it may not be its own"


@dataclass(frozen=True, slots=True)
class Note:
    """What a lock file says of the store."""

    runs: frozenset[str]
    """Whose state the file may have."""
    clean: tuple[int, int] | None
    """Size and time of the file at the end of its last owner, who left no log."""
    boot: str
    """Which start of the machine the last owner lived in; empty: not known."""
    inode: int = 0
    """Of the file that the owner has open, for programs beside it. Not its device, which may have
    another number in a container; 0: not known."""
    signed_at_ns: int = 0
    """When it was written. The lock file's own time is that of whoever tried last."""

    @classmethod
    def parse(cls, text: str) -> "Note":
        """Read it; whatever else stands there is ignored."""
        clean, boot, inode = _CLEAN.search(text), _BOOT.search(text), _INODE.search(text)
        signed = _SIGNED.search(text)
        return cls(
            frozenset(_RUN.findall(text)),
            (int(clean[1]), int(clean[2])) if clean else None,
            boot[1] if boot else "",
            int(inode[1]) if inode else 0,
            int(signed[1]) if signed else 0,
        )


class Signature:
    """What the owner of a store leaves in it and in its lock file. One thread at a time."""

    def __init__(self, path: Path, hold: Hold) -> None:
        self._path = path.resolve()  # its log lies beside the file itself
        self._hold = hold
        self._note = Note.parse(hold.note)

    def check(self) -> None:
        """Raise StoreError where the file is not the one that its last owner left.

        DamagedError: it was changed since, and is not sound.
        """
        refuse_foreign_log(self._path, self._note)
        self._check_log()
        if not is_file(self._path) or _owner(self._path) is None or self._is_as_left():
            return
        log.info("%s: was not closed by a broker: all of it is checked", self._path)
        try:
            with closing(_open_to_read(self._path)) as rows:
                problem = _problem(rows, with_log=has_log(self._path))
        except (sqlite3.Error, UnicodeDecodeError) as error:
            refusal = store_error(self._path, error)
            if not isinstance(refusal, DamagedError):
                raise refusal from error
            problem = str(error)
        if problem and is_sound_alone(self._path):
            raise StoreError(
                f"{self._path}: is damaged with the log beside it ({problem}), but not without it:"
                f" {NOT_ITS_OWN}: {own_remedy(self._path)}"
            )
        if problem:
            raise DamagedError(f"{self._path}: is damaged ({problem})", self._path)

    def _check_log(self) -> None:
        """Raise DamagedError for a log with commits that SQLite does not read.

        When the machine has been started since, it may be torn by that: then it is only told.
        """
        if not is_file(self._path) or not (frames := unread_frames(self._path)):
            return
        said = f"its log of commits is damaged: {counted(frames, 'frame')} cannot be read"
        if self._note.boot and self._note.boot == _boot():
            raise DamagedError(f"{self._path}: is damaged ({said})", self._path)
        log.error(
            "%s: %s, as after a power cut: their records are lost, and the broker's ledger"
            " shows them as gaps",
            *(self._path, said),
        )

    def sign(self, rows: sqlite3.Connection) -> None:
        """Sign the open file as this run's. Raises sqlite3.Error, or StoreError.

        Until it is in the file itself and not in its log, the file may have either state.
        """
        run = os.urandom(16).hex()
        self._write(self._note.runs | {run})
        try:
            with transaction(rows):
                rows.execute("DELETE FROM owner")
                rows.execute("INSERT INTO owner VALUES (?)", (run,))
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL:
                return  # it has the former one, which does as well
            raise
        busy, *_ = rows.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:  # by a reader
            self._write(frozenset({run}))

    def end(self) -> None:
        """Note that the file is closed, and whole by itself."""
        with suppress(OSError):
            if not has_log(self._path):
                stat = self._path.stat()
                self._write(self._note.runs, (stat.st_size, stat.st_mtime_ns))

    def _write(self, runs: frozenset[str], clean: tuple[int, int] | None = None) -> None:
        signed_at_ns = time.time_ns()
        lines = [*(f"run {run}\n" for run in sorted(runs)), f"signed {signed_at_ns}\n"]
        if boot := _boot():
            lines.append(f"boot {boot}\n")
        if clean:
            lines.append("clean {} {}\n".format(*clean))
        try:
            inode = self._path.stat().st_ino
            lines.append(f"inode {inode}\n")
            self._hold.write_note("".join(lines))
        except OSError as error:
            name = lock_path(self._path)
            raise StoreError(f"{name}: cannot be written: {error.strerror}") from error
        self._note = Note(runs, clean, boot, inode, signed_at_ns)

    def _is_as_left(self) -> bool:
        """Whether only an owner has written to the file and its log, as far as one can see."""
        file, wal = self._path.stat(), Path(f"{self._path}-wal")
        if self._note.clean:
            return self._note.clean == (file.st_size, file.st_mtime_ns) and not has_log(self._path)
        if _owner(self._path) not in self._note.runs or not wal.exists():
            return False
        wal_ns, signed_at_ns = wal.stat().st_mtime_ns, self._note.signed_at_ns
        known_ns = max(_newest_ns(self._path) + _COMMIT_NS, signed_at_ns)
        return file.st_ctime_ns <= max(wal_ns, signed_at_ns) <= known_ns


def _boot() -> str:
    """A random id that the kernel takes at each start of the machine; empty where it has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def refuse_foreign_log(path: Path, note: Note | None = None) -> None:
    """Raise StoreError where a log of commits lies beside a file that it does not belong to."""
    path = path.resolve()
    if not has_log(path):
        return
    refuse_lone_log(path)
    runs = (note or Note.parse(read_note(lock_path(path)))).runs
    run = _owner(path)
    if run and runs and run not in runs:
        raise StoreError(f"{path}: the log beside it is not its own ({path.name}-wal): {_REMEDY}")


def is_sound_alone(path: Path) -> bool:
    """Whether a log lies beside a file that passes the check without it. Raises no error.

    If it does not with it, the file is likely a copy from before that log.
    """
    if not has_log(path):
        return False
    try:
        with closing(_open_alone(path)) as rows:
            return not _problem(rows, with_log=True)
    except (sqlite3.Error, UnicodeDecodeError):
        return False


def own_remedy(path: Path) -> str:
    """What to do where a log may not be its file's own, as a person is told."""
    return (
        f"move {path}-wal and {path}-shm away to use the file alone (an older copy), or restore a"
        f" backup with 'broker store restore', or run 'broker store repair --store {path}'"
    )


def _owner(path: Path) -> str | None:
    """The run that signed the file itself, whatever its log says; None: nobody."""
    try:
        with closing(_open_alone(path)) as rows:
            row = rows.execute("SELECT run FROM owner").fetchone()
    except sqlite3.Error:  # an older store, or a damaged one, of which others will tell
        return None
    return str(row[0]) if row else None


def _problem(rows: sqlite3.Connection, *, with_log: bool) -> str:
    """What is wrong with the structure of a file; empty: nothing.

    A log over another state of its file may leave a sound structure, with samples missing.
    """
    if found := integrity(rows, 1):
        return found[0]
    if not with_log:
        return ""
    known = losses(rows)
    for session in sessions(rows):
        if missing := unbooked(rows, session, known):
            said = whose(session.agent_id, session.session_id, missing)
            return f"{said}answered, but not recorded"
    return ""


def _newest_ns(path: Path) -> int:
    """When the newest sample arrived. What its log would do to the file does not happen."""
    with suppress(sqlite3.Error), closing(_open_to_read(path)) as rows:
        row = rows.execute(
            "SELECT arrived_at_ns FROM samples ORDER BY position DESC LIMIT 1"
        ).fetchone()
        return int(row[0]) if row else 0
    return 0


def _open_alone(path: Path) -> sqlite3.Connection:
    """Open a file without its log."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


def _open_to_read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
