"""A process under measurement: started, awaited, and ended by its own id."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

_REPOSITORY = Path(__file__).parents[1]
# Imports and the opening of a port; generous, because the machine may be busy.
_START_S = 30.0
# In good order; after that it is killed.
_STOP_S = 10.0
_READY = "listening on "


class ChildError(Exception):
    """A process did not start, or failed."""


class Child:
    """A Python module run as a process of its own; left, it is ended and waited for."""

    def __init__(self, *arguments: str, program: Sequence[str] = (sys.executable, "-m")) -> None:
        """`program`: what takes the arguments, where it is not Python."""
        self._name = " ".join(arguments) or Path(program[0]).name
        # A file, not a pipe: a full pipe would stop the process under measurement. Read by its
        # name: who reads by the descriptor moves the place where the process writes.
        self._log = tempfile.NamedTemporaryFile()  # noqa: SIM115 - see __exit__
        self._process = subprocess.Popen(
            [*program, *arguments],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            cwd=_REPOSITORY,
            start_new_session=True,  # so that Ctrl-C reaches us alone, and we end it
        )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._log.close()

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def stop(self) -> str:
        """End it with SIGTERM, or SIGKILL where that does not help; return what it has printed."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        return self._printed()

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        if self._process.stdin:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()

    def finish(self, timeout_s: float) -> str:
        """Wait for its own end; return what it has printed.

        Raises:
            ChildError: it failed, or takes longer than timeout_s.
        """
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ChildError(f"{self._name} takes longer than {timeout_s:.0f} s") from None
        if status:
            raise self._failure(f"ended with status {status}")
        return self._printed()

    def address(self) -> str:
        """HOST:PORT where it listens, once it says so. Raises ChildError."""
        return self.said(_READY).rstrip(",")

    def said(self, before: str) -> str:
        """The word behind these, once it has printed them.

        Raises:
            ChildError: it ended, or did not say so in time.
        """
        deadline_s = time.monotonic() + _START_S
        while time.monotonic() < deadline_s:
            printed = self._printed()
            if before in printed:
                return printed.partition(before)[2].split()[0]
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise self._failure(f"did not say {before!r}")

    def _printed(self) -> str:
        return Path(self._log.name).read_text(errors="replace")

    def _failure(self, what: str) -> ChildError:
        last = self._printed().strip().rpartition("\n")[2]
        return ChildError(f"{self._name}: {what}; its last line: {last!r}")
