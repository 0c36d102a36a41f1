"""Whether the alarm output is held on: kept on the disk, as it waits for a person, not for us."""

import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from agent.config.outputs import AlarmSettings
from agent.model import Prediction
from quartet.clock import Clock, stamp
from quartet.foreign import shown

record = logging.getLogger("agent.alarm")
"""What a person may have to answer for: logged whatever the level of the other loggers."""

FILE = "alarm.held"
"""The name of the file in the spool's directory on the disk."""

# Before it has its name. What a death leaves under it, the next hold writes over.
_PART = "alarm.held.part"

# A disk that did not take it is asked again so soon.
_AGAIN_S = 1.0

# A word on the disk takes less than this, if the disk is well.
_JOIN_S = 1.0

# What a file says that cannot be read: unlike any hold, so that it is written again.
_UNKNOWN = object()


@dataclass(frozen=True, slots=True)
class Hold:
    """Since when an output is held (Unix ns), and the sample whose prediction did it."""

    since_ns: Annotated[int, Meta(ge=0, le=2**62)]
    session_id: str = ""
    sample_id: int | None = None


class Latch:
    """Held or not. The loop holds and releases; keep() has the disk say so, in another thread.

    The file is there exactly while the output is held. One that cannot be read holds as well: it
    was written for a reason.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        """As the file says."""
        record.setLevel(logging.INFO)
        self._path = path
        self.hold, is_kept = _read(path, clock)  # written by: loop
        self.changed = threading.Event()
        """Set when there is something to keep."""
        self.trouble = ""  # written by: who calls keep()
        """Why the disk does not say what is held; empty where it does."""
        self._kept: object = self.hold if is_kept else _UNKNOWN  # used by: who calls keep()

    def engage(self, hold: Hold) -> None:
        """Hold the output; a hold that stands already stays as it is."""
        if self.hold is None:
            self.hold = hold
            self.changed.set()

    def release(self) -> None:
        """Hold it no longer."""
        self.hold = None
        self.changed.set()

    def keep(self) -> None:
        """Have the disk say what is held, where it does not. Blocks for the disk."""
        hold = self.hold
        if hold == self._kept:
            return
        try:
            if hold is None:
                self._path.unlink(missing_ok=True)
            else:
                _write(self._path.with_name(_PART), msgspec.json.encode(hold))
                self._path.with_name(_PART).replace(self._path)
            _flush(self._path.parent)
        except OSError as error:
            what = "releases" if hold else "holds"
            self.trouble = (
                f"{self._path} cannot be written ({shown(error.strerror)}): a restart of the agent"
                f" {what} the output"
            )
        else:
            self._kept, self.trouble = hold, ""


class Keeper:
    """Has the disk say what is held. A sink by name; owns the thread "latch".

    A thread of its own: a disk that takes its time holds up neither the loop nor the guard.
    """

    def __init__(self, latch: Latch) -> None:
        self._latch = latch
        self._stopping = False  # written by: loop
        self._thread = threading.Thread(target=self._run, name="latch", daemon=True)
        self._thread.start()

    def emit(self, prediction: Prediction) -> None:
        """Nothing: the alarm itself engages the latch."""

    def close(self) -> None:
        """Keep what is held by now, and end."""
        self._stopping = True
        self._latch.changed.set()
        self._thread.join(_JOIN_S)

    def __str__(self) -> str:
        return "the latch of the alarm output"

    def _run(self) -> None:
        stopping = False
        while not stopping:
            self._latch.changed.wait(_AGAIN_S)
            self._latch.changed.clear()
            stopping = self._stopping
            self._latch.keep()


def open_latch(settings: AlarmSettings | None, directory: Path, clock: Clock) -> Latch | None:
    """The latch of the alarm output, where it has one; without, what was held is let go."""
    if settings is None:
        return None
    latch = Latch(directory / FILE, clock)
    if settings.latch:
        return latch
    if hold := latch.hold:
        latch.release()
        latch.keep()
        record.warning(
            "alarm: the output was held since %s; outputs.alarm.latch is off now, so the agent"
            " releases it",
            stamp(hold.since_ns),
            extra={"journal_fields": {"ALARM_OUTPUT": "released"}},
        )
    return None


def _read(path: Path, clock: Clock) -> tuple[Hold | None, bool]:
    """What the disk says, and whether it says just that."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Hold), True
    except FileNotFoundError:
        return None, True
    except (OSError, msgspec.DecodeError) as error:
        record.warning(
            "alarm: %s cannot be read (%s): the output is held until 'agent release'",
            path,
            shown(error),
        )
        return Hold(clock.time_ns()), False


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
