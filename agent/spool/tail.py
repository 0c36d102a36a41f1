"""The tail: the newest samples, on file from the moment they have an id, before a tier has them.

It is a ring of records in the RAM directory, and never synced. A tier takes what is not answered
within two seconds or so. After a crash, the records that no account counts are samples that wait.
"""

import contextlib
import copy
import logging
import os
import struct
import threading
import time
from pathlib import Path

from agent.model import Sample, Session
from agent.spool.account import Account, Fate, Sessions
from agent.spool.row import READING_BYTES, Row, reading, verifies
from quartet.clock import Clock

log = logging.getLogger(__name__)

FILE = "spool.tail"

# Half of it is 2 s at the most samples that one chip gives; then the disk thread is woken.
SLOTS = 1024
_SLOT_BYTES = 64

# The ids of session and sample; after it the reading, as a row has it, with its checksum.
_HEAD = struct.Struct("<16sq")
_RECORD_BYTES = _HEAD.size + READING_BYTES

# A file that cannot be made is tried again after this time.
_RETRY_S = 5.0

Records = dict[str, list[tuple[int, bytes]]]
"""Of each session, by its id: the ids of samples and their readings, rising."""


class Tail:
    """Takes samples of a session that the hot tier knows. A failure costs speed, and no sample.

    note() is called on the bus thread, the others on the disk thread.
    """

    def __init__(self, directory: Path, *, clock: Clock = time) -> None:
        self._path = directory / FILE
        self._clock = clock
        self._retry_at_s = clock.monotonic()
        self._changed = threading.Lock()
        # guarded by: _changed
        self._descriptor: int | None = None
        self._sequence: int | None = None
        self._noted = self._released = 0

    def note(self, sample: Sample) -> bool:
        """Put a sample on file; whether that could be done."""
        with self._changed:
            if (
                self._descriptor is None
                or sample.session.sequence != self._sequence
                or self._noted - self._released >= SLOTS
            ):
                return False
            at = self._noted % SLOTS * _SLOT_BYTES
            try:
                os.pwrite(self._descriptor, _record(sample), at)
            except OSError as error:
                self._stop(error)
                return False
            self._noted += 1
            return True

    def release(self, noted: int) -> None:
        """A tier has the first of all samples that were noted, up to this number."""
        with self._changed:
            self._released = noted

    def serve(self, sequence: int) -> None:
        """Take samples of this session: the hot tier knows it."""
        with self._changed:
            if self._descriptor is None and self._clock.monotonic() >= self._retry_at_s:
                self._open()
            self._sequence = sequence

    def rest(self) -> None:
        """Take no samples for now. The file is deleted once a tier has all of it."""
        with self._changed:
            self._sequence = None
            if self._descriptor is not None and self._noted == self._released:
                self._close()
                with contextlib.suppress(OSError):
                    self._path.unlink(missing_ok=True)

    def watch(self) -> None:
        """Notice that the file was removed or replaced."""
        with self._changed:
            if self._descriptor is None:
                return
            try:
                there, mine = self._path.stat(), os.fstat(self._descriptor)
                if (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
                    self._close()
            except OSError as error:
                self._stop(error)

    def close(self, *, is_settled: bool) -> None:
        """Let go of the file; it is deleted where the tiers have all that was in it."""
        with self._changed:
            self._close()
            if is_settled:
                with contextlib.suppress(OSError):
                    self._path.unlink(missing_ok=True)

    def _open(self) -> None:
        """Make the file, with all of its space: to overwrite it needs no more."""
        self._retry_at_s = self._clock.monotonic() + _RETRY_S
        descriptor = None
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            descriptor = os.open(self._path, flags, 0o644)
            os.pwrite(descriptor, bytes(SLOTS * _SLOT_BYTES), 0)
        except OSError as error:
            if descriptor is not None:
                os.close(descriptor)
            log.debug("%s: cannot be made: %s", self._path, error.strerror)
            return
        self._descriptor = descriptor

    def _stop(self, error: OSError) -> None:
        log.debug("%s: cannot be used: %s", self._path, error.strerror)
        self._close()
        self._retry_at_s = self._clock.monotonic() + _RETRY_S

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def read(directory: Path) -> Records:
    """The samples in the file of a directory; none where it cannot be read.

    Without those whose checksum is wrong.
    """
    try:
        ring = (directory / FILE).read_bytes()
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            log.error("%s: cannot be read: %s", directory / FILE, error.strerror)  # noqa: TRY400
        return {}
    found: Records = {}
    for at in range(0, len(ring) - _SLOT_BYTES + 1, _SLOT_BYTES):
        session, id_ = _HEAD.unpack_from(ring, at)
        noted = ring[at + _HEAD.size : at + _RECORD_BYTES]
        if verifies(noted, session.hex(), id_):
            found.setdefault(session.hex(), []).append((id_, noted))
    return {session: sorted(records) for session, records in found.items()}


def adopt(records: Records, *known: Sessions, name_gaps: bool) -> tuple[Sessions, list[Row]]:
    """The rows of samples that no account counts, and the accounts with them.

    `known`: the accounts of the tiers. Of ids between an account and the records no tier has a
    sample; with `name_gaps` they count as in memory alone, without it a damaged file had them.
    """
    newest: dict[str, tuple[Session, Account]] = {}
    for session, account in (entry for sessions in known for entry in sessions):
        former = newest.get(session.id)
        if former is None or former[1].sampled < account.sampled:
            newest[session.id] = session, account
    changed: Sessions = []
    rows: list[Row] = []
    for session_id in records.keys() & newest.keys():
        session, account = newest[session_id]
        account = copy.deepcopy(account)
        fresh = [
            Row(session.sequence, *each)
            for each in records[session_id]
            if each[0] >= account.sampled
        ]
        for row in fresh:
            if row.id > account.sampled and name_gaps:
                account.add(Fate.CRASHED, account.sampled, row.id - 1)
            account.sampled = row.id + 1
        if fresh:
            changed.append((session, account))
            rows += fresh
    return changed, sorted(rows)


def _record(sample: Sample) -> bytes:
    return _HEAD.pack(bytes.fromhex(sample.session.id), sample.id) + reading(sample)
