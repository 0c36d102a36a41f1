"""What a store needs once in a while: a check, a repair, a backup, and to be restored from one."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from broker.recorder.sqlite.beside import await_owner
from broker.recorder.sqlite.hold import Hold, lock_path
from broker.recorder.sqlite.place import is_pending
from broker.recorder.sqlite.signature import (
    NOT_ITS_OWN,
    Signature,
    is_sound_alone,
    own_remedy,
    refuse_foreign_log,
)
from broker.recorder.sqlite.upkeep import copies
from broker.recorder.sqlite.upkeep.check import REPAIR, check
from broker.recorder.sqlite.upkeep.repair import repair
from broker.recorder.sqlite.wal import refuse_lone_log, unread_frames
from broker.recorder.upkeep import Backup, Findings, Problem, Repair, Restored
from quartet.clock import Clock
from quartet.errors import StoreError
from quartet.lock import holder
from quartet.plural import counted


class SqliteUpkeep:
    """The Upkeep of a file. Each method may be called in any thread."""

    def __init__(self, path: Path, clock: Clock = time) -> None:
        # Its lock, log and drafts lie beside the file itself.
        self._path = path.resolve()
        self._clock = clock

    def check(self) -> Findings:
        """Look at everything, beside a running broker or without one."""
        self._expect_file()
        await_owner(self._path)
        try:
            refuse_foreign_log(self._path)
        except StoreError as error:
            what, _, remedy = str(error).rpartition(": ")
            return Findings([Problem(what, remedy)], is_counted=False)
        findings = check(self._path)
        if holder(lock_path(self._path)):
            return findings
        if findings.problems and is_sound_alone(self._path):
            findings.problems.insert(0, Problem(NOT_ITS_OWN, own_remedy(self._path)))
        if frames := unread_frames(self._path):
            what = f"the log of commits is damaged: {counted(frames, 'frame')} cannot be read"
            findings.problems.append(Problem(what, REPAIR))
        return findings

    def repair(self) -> Repair:
        """Make a new store of all that is readable and verifies."""
        if not is_pending(self._path):
            self._expect_file()
        with self._held():
            refuse_foreign_log(self._path)
            is_torn = unread_frames(self._path) > 0
            return repair(self._path, self._clock, is_torn=is_torn)

    def backup(self, to: Path) -> Backup:
        """Copy one state of the store, also of a running broker."""
        self._expect_file()
        await_owner(self._path)
        refuse_foreign_log(self._path)
        return copies.backup(self._path, to)

    def restore(self, backup: Path) -> Restored:
        """Put a backup into the place of the store."""
        with self._held():
            return copies.restore(self._path, backup)

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Keep a broker out; an exchange that was cut short before is finished."""
        with closing(Hold(self._path, replaces=True)) as hold:
            signature = Signature(self._path, hold)
            yield
            signature.end()

    def _expect_file(self) -> None:
        if not self._path.is_file():
            refuse_lone_log(self._path)
            raise StoreError(f"{self._path}: there is no such file")
