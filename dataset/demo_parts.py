"""What the demos share: processes of ours that end with the demo, and how it ends."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

# Longer than a start takes on a busy machine.
START_S = 60.0
# In good order; what takes longer is killed.
STOP_S = 10.0
ANY_PORT = "127.0.0.1:0"
SIGNALS = signal.SIGHUP, signal.SIGINT, signal.SIGTERM


class DemoError(Exception):
    """What a person must know. The demo ends."""


@dataclass(slots=True)
class Process:
    """A process of ours, with what it prints in a file."""

    name: str
    command: tuple[str, ...]
    log: Path
    running: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Start it, again too. Ctrl-C does not reach it: it is ended in its turn."""
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(  # noqa: S603 - programs of the demo
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "TMPDIR": str(self.log.parent)},
                start_new_session=True,
            )

    def ask_to_end(self) -> None:
        """Return at once."""
        if self.running and self.running.poll() is None:
            self.running.terminate()

    def end(self) -> None:
        """Return when it has ended."""
        self.ask_to_end()
        if self.running:
            try:
                self.running.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.running.kill()
                self.running.wait()
        self.running = None

    def check(self) -> None:
        """Raise DemoError if it has ended by itself."""
        if self.running and (status := self.running.poll()) is not None:
            said = self.log.read_text(errors="replace").splitlines()[-5:]
            raise DemoError("\n  ".join([f"{self.name} has ended with status {status}:", *said]))

    def said(self, pattern: str) -> str:
        """The first group of what it prints, once it has. Raises DemoError."""
        deadline_s = time.monotonic() + START_S
        while time.monotonic() < deadline_s:
            if found := re.search(pattern, self.log.read_text(errors="replace")):
                return found[1]
            self.check()
            time.sleep(0.05)
        raise DemoError(f"{self.name} does not answer after {START_S:.0f} s")


def module(*arguments: str) -> tuple[str, ...]:
    """The command of a program of ours, such as "agent", and its arguments."""
    return sys.executable, "-m", *arguments


@contextmanager
def started(name: str, home: Path, *command: str) -> Iterator[Process]:
    """A process that ends when it is left."""
    process = Process(name, command, home / f"{name.replace(' ', '-')}.log")
    process.start()
    try:
        yield process
    finally:
        process.end()


def interrupt(*_: object) -> NoReturn:
    """End the demo; a second signal does not disturb that."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def until_interrupted(name: str, run: Callable[[Path, ExitStack], None]) -> int:
    """Run the demo in a temporary directory: its exit status.

    0 after Ctrl-C, SIGTERM or its end; 1 after a DemoError, which is told.
    """
    for number in SIGNALS:
        signal.signal(number, interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="quartet-demo-") as home, ExitStack() as stack:
            run(Path(home), stack)
    except KeyboardInterrupt:
        print("\nended")
        return 0
    except DemoError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0
