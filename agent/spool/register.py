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

# The ids of session and boot; sequence, spacing and start; whether an earlier process noted it.
_HEAD = struct.Struct("<16s16sqqq?")
# The next id, and the checksum of all. With each id, these alone are written again.
_TAIL = struct.Struct("<qI")
_NEXT_ID = struct.Struct("<q")
_RECORD_BYTES = _HEAD.size + _TAIL.size

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

# A reader beside the agent may meet a record that is half written, and looks again.
_MOST_LOOKS = 5

# While it is not in the first of its directories, that one is tried this often.
_RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class Given:
    """The ids below `next_id` were given out in a session."""

    session: Session
    next_id: int
    this_boot: bool
    """Whether the machine has not been started since, so that nothing later was lost."""
    earlier: bool = False
    """The process that noted it has ended, and the one that runs has not booked these ids."""


class _Slot:
    """The place of a session's record in the page; `checksum` is that of the record's head."""

    __slots__ = ("at", "checksum", "tail_at")

    def __init__(self, number: int, head: bytes) -> None:
        self.at = number * _SLOT_BYTES
        self.tail_at = self.at + _HEAD.size
        self.checksum = zlib.crc32(head)

    def tail(self, next_id: int) -> bytes:
        return _TAIL.pack(next_id, zlib.crc32(_NEXT_ID.pack(next_id), self.checksum))


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
        self._slots: dict[str, _Slot] = {}  # of session ids
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
        with self._changed:
            self._last[session.id] = next_id
            slot = self._slots.get(session.id)
            if slot is None:
                head = _head(session)
                slot = self._slots[session.id] = _Slot(self._free_number(), head)
                self._put(slot.at, head + slot.tail(next_id))
            else:
                self._put(slot.tail_at, slot.tail(next_id))

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
                    self._put(slot.at, _EMPTY)

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
        for number, given in enumerate([*found.values()][:_SLOTS]):
            head = _head(given.session, this_boot=given.this_boot, earlier=True)
            slot = self._slots[given.session.id] = _Slot(number, head)
            self._page[slot.at : slot.at + _RECORD_BYTES] = head + slot.tail(given.next_id)
        return [*found.values()]

    def _free_number(self) -> int:
        """The number of a slot that nobody needs; else of that which was noted first."""
        taken = {slot.at // _SLOT_BYTES for slot in self._slots.values()}
        for number in range(_SLOTS):
            if number not in taken:
                return number
        former = next((each for each in self._slots if each not in self._pending), None)
        return self._slots.pop(former or next(iter(self._slots))).at // _SLOT_BYTES

    def _put(self, at: int, data: bytes) -> None:
        self._page[at : at + len(data)] = data
        if self._descriptor is not None and not self._failed:
            try:
                os.pwrite(self._descriptor, data, at)
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
            self._close()
            self._descriptor, self._path, self._failed = descriptor, path, False
            for other in self._paths:
                if other != path:  # it would be older than the books one day
                    with contextlib.suppress(OSError):
                        other.unlink(missing_ok=True)
            self._outage.ended("%s: can be written again", path)
            return
        if failure:
            self._fail(failure)

    def _fail(self, error: OSError) -> None:
        self._failed = True
        self._outage.failed(
            "%s: cannot be written: %s; if the agent is killed now, the ledger cannot know how"
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
    for look in range(1, _MOST_LOOKS + 1):
        try:
            return _read(path)
        except FileNotFoundError:
            break
        except DamagedError:
            if look == _MOST_LOOKS:
                raise
    return []


def _read(path: Path) -> list[Given]:
    page = path.read_bytes()
    slots = [page[at : at + _SLOT_BYTES] for at in range(0, len(page), _SLOT_BYTES)]
    given = [_unpack(slot, path) for slot in slots if slot.strip(b"\0")]
    if len(page) not in {0, _PAGE_BYTES}:
        raise DamagedError(f"{path}: is damaged (its length)", path)
    return given


def _head(session: Session, *, this_boot: bool = True, earlier: bool = False) -> bytes:
    return _HEAD.pack(
        bytes.fromhex(session.id),
        _boot_id() if this_boot else bytes(16),
        session.sequence,
        session.period_ns,
        session.started_at_ns,
        earlier,
    )


def _unpack(slot: bytes, path: Path) -> Given:
    head, tail = slot[: _HEAD.size], slot[_HEAD.size : _RECORD_BYTES]
    next_id = _NEXT_ID.unpack_from(slot, _HEAD.size)[0] if len(slot) == _SLOT_BYTES else 0
    if tail != _Slot(0, head).tail(next_id) or slot[_RECORD_BYTES:].strip(b"\0"):
        raise DamagedError(f"{path}: is damaged (its checksum)", path)
    session_id, boot_id, sequence, period_ns, started_at_ns, earlier = _HEAD.unpack(head)
    session = Session(sequence, session_id.hex(), period_ns, started_at_ns)
    return Given(session, next_id, boot_id == _boot_id(), earlier)


@functools.cache
def _boot_id() -> bytes:
    """Of this boot; elsewhere than on Linux, the same for all."""
    try:
        return bytes.fromhex(_BOOT_ID.read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return b"\1" * 16
