"""The register: the next id of a session, on file from the moment an id is given.

The accounts are as new as the latest commit. After a crash the register tells which ids were
given since: their samples were in memory alone. It is a page in the RAM directory, or in the
disk's while that cannot be used, and it is never synced: a power cut takes it along.
"""

import contextlib
import functools
import logging
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.model import Session
from quartet.clock import Clock
from quartet.errors import DamagedError
from quartet.outage import Outage

log = logging.getLogger(__name__)

FILE = "spool.ids"

# One page, written in full when the file is made: to overwrite it needs no space.
_PAGE_BYTES = 4096
_SLOT_BYTES = 128
_SLOTS = _PAGE_BYTES // _SLOT_BYTES
_EMPTY = bytes(_SLOT_BYTES)

# The ids of session and boot; sequence, spacing, start and next id; then a checksum of these.
_RECORD = struct.Struct("<16s16sqqqq")
_CHECKSUM = struct.Struct("<I")

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

# While it is not in the first of its directories, that one is tried this often.
_RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class Given:
    """The ids below `next_id` were given out in a session."""

    session: Session
    next_id: int
    this_boot: bool
    """Whether the machine has not been started since, so that nothing later was lost."""


class Register:
    """Notes ids on the bus thread; its other methods are the disk thread's, or before it starts.

    A failure is logged once, and never stops sampling.
    """

    def __init__(self, directories: Sequence[Path], *, clock: Clock = time) -> None:
        """Use the first of the directories in which a file can be made."""
        self._paths = [directory / FILE for directory in directories]
        self._clock = clock
        self._outage = Outage(log, clock)
        self._changed = threading.Lock()
        # guarded by: _changed
        self._page = bytearray(_PAGE_BYTES)
        self._slots: dict[str, int] = {}  # of session ids
        self._last: dict[str, int] = {}  # the next id that was noted in this process
        self._descriptor: int | None = None
        self._path: Path | None = None
        self._failed = False
        self._retry_at_s = 0.0
        self.found = self._find()
        """What earlier processes noted, and no account has told a tier of."""
        self._pending = {given.session.id for given in self.found}
        self._open()

    def note(self, session: Session, next_id: int) -> None:
        """The ids of a session below this one are given. Bus thread."""
        record = _pack(session, next_id)
        with self._changed:
            slot = self._slots.get(session.id)
            if slot is None:
                slot = self._slots[session.id] = self._free_slot()
            self._last[session.id] = next_id
            self._put(slot, record)

    def watch(self) -> None:
        """Be in a file that is at its path, in the first directory that can be used."""
        with self._changed:
            if not self._is_in_place():
                self._failed = True
            wants = self._failed or self._path != self._paths[0]
            if wants and self._clock.monotonic() >= self._retry_at_s:
                self._open()

    def forget(self, sessions: Iterable[Session]) -> None:
        """A tier has the accounts of these sessions."""
        with self._changed:
            for session in sessions:
                self._pending.discard(session.id)
                slot = self._slots.pop(session.id, None)
                if slot is not None:
                    self._put(slot, _EMPTY)

    def noted(self) -> dict[str, int]:
        """The next id of each session that was noted in this process."""
        with self._changed:
            return dict(self._last)

    def close(self, *, is_settled: bool) -> None:
        """Let go of the file; it is deleted where the tiers have all that it tells."""
        with self._changed:
            self._close()
            if is_settled and not self._pending:
                for path in self._paths:
                    with contextlib.suppress(OSError):
                        path.unlink(missing_ok=True)

    def _find(self) -> list[Given]:
        found: dict[str, Given] = {}
        for path in self._paths:
            try:
                for given in read(path):
                    former = found.get(given.session.id)
                    if former is None or former.next_id < given.next_id:
                        found[given.session.id] = given
            except DamagedError as error:
                log.error("%s; it is ignored", error)  # noqa: TRY400 - a person's error
            except OSError as error:
                log.error("%s: cannot be read: %s", path, error.strerror)  # noqa: TRY400
        for slot, given in enumerate([*found.values()][:_SLOTS]):
            self._slots[given.session.id] = slot
            start = slot * _SLOT_BYTES
            record = _pack(given.session, given.next_id, this_boot=given.this_boot)
            self._page[start : start + _SLOT_BYTES] = record
        return [*found.values()]

    def _free_slot(self) -> int:
        """A slot that nobody needs; else that of the session that was noted first."""
        taken = set(self._slots.values())
        for slot in range(_SLOTS):
            if slot not in taken:
                return slot
        former = next((each for each in self._slots if each not in self._pending), None)
        return self._slots.pop(former or next(iter(self._slots)))

    def _put(self, slot: int, record: bytes) -> None:
        start = slot * _SLOT_BYTES
        self._page[start : start + _SLOT_BYTES] = record
        if self._descriptor is not None and not self._failed:
            try:
                os.pwrite(self._descriptor, record, start)
            except OSError as error:
                self._fail(error)

    def _open(self) -> None:
        """Move to the first directory that takes a page, unless that is where it is."""
        self._retry_at_s = self._clock.monotonic() + _RETRY_S
        failure: OSError | None = None
        for path in self._paths:
            if path == self._path and not self._failed:
                return
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
                try:
                    os.pwrite(descriptor, self._page, 0)
                except OSError:
                    os.close(descriptor)
                    raise
            except OSError as error:
                failure = failure or error
                continue
            former = self._path
            self._close()
            self._descriptor, self._path, self._failed = descriptor, path, False
            if former and former != path:
                with contextlib.suppress(OSError):
                    former.unlink(missing_ok=True)
            self._outage.ended("%s: notes the ids again", path)
            return
        if failure:
            self._fail(failure)

    def _fail(self, error: OSError) -> None:
        self._failed = True
        self._outage.failed(
            "%s: cannot be written: %s; if the agent is killed now, the ledger does not tell how"
            " many samples were taken",
            self._path or self._paths[0],
            error.strerror,
        )

    def _is_in_place(self) -> bool:
        if self._descriptor is None or self._path is None:
            return False
        try:
            there, mine = self._path.stat(), os.fstat(self._descriptor)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = self._path = None


def read(path: Path) -> list[Given]:
    """What a register tells; nothing where there is none. OSError, or DamagedError."""
    try:
        page = path.read_bytes()
    except FileNotFoundError:
        return []
    slots = [page[at : at + _SLOT_BYTES] for at in range(0, len(page), _SLOT_BYTES)]
    given = [_unpack(slot, path) for slot in slots if slot.strip(b"\0")]
    if len(page) not in {0, _PAGE_BYTES}:
        raise DamagedError(f"{path}: is damaged (its length)", path)
    return given


def _pack(session: Session, next_id: int, *, this_boot: bool = True) -> bytes:
    record = _RECORD.pack(
        bytes.fromhex(session.id),
        _boot_id() if this_boot else bytes(16),
        session.sequence,
        session.period_ns,
        session.started_at_ns,
        next_id,
    )
    return (record + _CHECKSUM.pack(zlib.crc32(record))).ljust(_SLOT_BYTES, b"\0")


def _unpack(slot: bytes, path: Path) -> Given:
    record, rest = slot[: _RECORD.size], slot[_RECORD.size :]
    checksum = _CHECKSUM.pack(zlib.crc32(record))
    if rest != checksum.ljust(_SLOT_BYTES - _RECORD.size, b"\0"):
        raise DamagedError(f"{path}: is damaged (its checksum)", path)
    session_id, boot_id, sequence, period_ns, started_at_ns, next_id = _RECORD.unpack(record)
    session = Session(sequence, session_id.hex(), period_ns, started_at_ns)
    return Given(session, next_id, boot_id == _boot_id())


@functools.cache
def _boot_id() -> bytes:
    """Of this boot; elsewhere than on Linux, the same for all."""
    try:
        return bytes.fromhex(_BOOT_ID.read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return b"\1" * 16
