"""A client of another making, as a process. It is told a call in a line and says what comes.

A line on its stdin is a verb, HOST:PORT and more words:

    stream ... AGENT COUNT     samples from id 0, then the end of this side
    hold ... AGENT             one sample, and this side stays open
    late ... AGENT SECONDS     the same with a deadline
    large ... SIZE             one message of this many bytes
    nothing ...                a method that no broker has
    health ... SERVICE         a check; "-" is the whole server
    watch ... SERVICE          until the broker ends it
    reflect ...                which services are there

On its stdout come `answer ID 0|1`, `status NAME` and `service NAME` as they arrive, and last
`end CODE WORDS`.
"""

import contextlib
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from support.patience import PATIENCE_S

PEERS = Path(__file__).parent / "peers"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call brought, and its status."""

    said: list[tuple[str, ...]]
    code: str
    words: str


class Peer:
    """A client that carries out one call after the other; left, it is ended."""

    def __init__(self, *command: str, hears_the_end: bool = True) -> None:
        """`hears_the_end`: whether it reads the status of a call that ends with a GOAWAY."""
        self.hears_the_end = hears_the_end
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],  # where Python finds what its peers share
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._complaint = ""
        self._readers = [threading.Thread(target=each) for each in (self._read, self._read_errors)]
        for reader in self._readers:
            reader.start()

    @classmethod
    def in_python(cls, name: str, *arguments: str) -> Self:
        """One of peers/ that runs in this Python."""
        # grpclib drops the connection at a GOAWAY, with all that it has not passed on yet.
        command = sys.executable, "-m", f"interop.peers.{name}", *arguments
        return cls(*command, hears_the_end=name != "by_grpclib")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def ask(self, verb: str, address: str, *words: object) -> Outcome:
        """Have a call made, and wait for its end."""
        self.begin(verb, address, *words)
        return self.ended()

    def begin(self, verb: str, address: str, *words: object) -> None:
        """Have a call made."""
        assert self._process.stdin
        self._process.stdin.write(" ".join(map(str, (verb, address, *words))) + "\n")
        self._process.stdin.flush()

    def next(self) -> tuple[str, ...]:
        """What the peer says next."""
        try:
            line = self._lines.get(timeout=PATIENCE_S)
        except queue.Empty:
            line = ""
        assert line, f"{self._process.args} says no more: {self._complaint[-2000:]}"
        return tuple(line.split())

    def ended(self) -> Outcome:
        """The rest of a call."""
        said: list[tuple[str, ...]] = []
        while (line := self.next())[0] != "end":
            said.append(line)
        return Outcome(said, line[1], " ".join(line[2:]))

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _read_errors(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            self._complaint += line


def answers(count: int) -> list[tuple[str, ...]]:
    """What `stream` and `hold` must bring from the predictor parity."""
    return [("answer", str(number), str(int(number % 2 == 0))) for number in range(count)]


def statuses(*names: str) -> Sequence[tuple[str, ...]]:
    """What `health` and `watch` must bring."""
    return [("status", name) for name in names]
