"""The agent and the broker as a user starts them: real processes, watched by what they print."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import IO, Self

from support.patience import PATIENCE_S


def let_children_be_signalled() -> None:
    """Have processes that are started from now on do at these signals what they do by default.

    `nohup make test` has us ignore SIGHUP, and `make test &` of a script the other two. A child
    would inherit that; a handler it does not inherit. Main thread only.
    """
    for ignored in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(ignored) is signal.SIG_IGN:
            signal.signal(ignored, lambda *_: None)


class Running:
    """A process whose stderr is read as it comes. Ends the process, by its pid, when it is left.

    With `told`, it listens to what it is told, on stdin. `under` is what starts it, such as
    nohup. A terminal that hangs up, or at which Ctrl-C is typed, does not reach it.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str] | None = None,
        *,
        told: bool = False,
        under: Sequence[str] = (),
    ) -> None:
        self._process = subprocess.Popen(
            [*under, sys.executable, "-m", *arguments],
            stdin=subprocess.PIPE if told else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        self._lines: list[str] = []
        self._grown = threading.Condition()
        self._ended = False
        self.stdout = ""
        self._readers = [
            threading.Thread(target=self._read_stderr, args=(self._process.stderr,)),
            threading.Thread(target=self._read_stdout, args=(self._process.stdout,)),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
        self._finish()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def stderr(self) -> str:
        """All that the process has printed on stderr so far."""
        with self._grown:
            return "\n".join(self._lines)

    def wait_for(self, pattern: str, count: int = 1) -> list[str]:
        """Wait until so many lines on stderr match; the groups of the last (or the line)."""
        wanted = re.compile(pattern)

        def found() -> list[re.Match[str]]:
            return [match for line in self._lines if (match := wanted.search(line))]

        with self._grown:
            self._grown.wait_for(lambda: self._ended or len(found()) >= count, PATIENCE_S)
            matches = found()
            assert len(matches) >= count, f"no {pattern!r} in:\n" + "\n".join(self._lines[-50:])
            return list(matches[count - 1].groups()) or [matches[count - 1].string]

    def wait_for_output(self, pattern: str) -> re.Match[str]:
        """Wait until what it prints on stdout matches."""
        wanted = re.compile(pattern)
        with self._grown:
            self._grown.wait_for(lambda: self._ended or wanted.search(self.stdout), PATIENCE_S)
            found = wanted.search(self.stdout)
            assert found, f"no {pattern!r} in:\n{self.stdout}\n" + "\n".join(self._lines[-50:])
            return found

    @property
    def lines_said(self) -> int:
        """How many lines it has printed on stderr so far."""
        with self._grown:
            return len(self._lines)

    @property
    def is_silent(self) -> bool:
        """Whether its stderr is at its end: it has ended, or is about to."""
        with self._grown:
            return self._ended

    def hears(self, pattern: str, *, after: int, within_s: float) -> str | None:
        """The first line behind `after` lines that matches; None where none comes in time."""
        wanted = re.compile(pattern)

        def found() -> str | None:
            return next((line for line in self._lines[after:] if wanted.search(line)), None)

        with self._grown:
            self._grown.wait_for(lambda: self._ended or found() is not None, within_s)
            return found()

    def tell(self, line: str) -> None:
        """Write a line to its stdin."""
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def say_no_more(self) -> int:
        """The exit code after the end of its stdin."""
        assert self._process.stdin
        self._process.stdin.close()
        return self.wait()

    @property
    def code(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def freeze(self) -> None:
        """Have it do nothing until SIGCONT. A signal alone comes while it is amid something."""
        self.signal(signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """The exit code, once the process has ended by itself."""
        code = self._process.wait(timeout_s)
        self._finish()
        return code

    def stop(self) -> int:
        """The exit code after a SIGTERM."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """kill -9, and wait for the end."""
        self._process.kill()
        self.wait()

    def _read_stderr(self, stream: IO[str]) -> None:
        for line in stream:
            with self._grown:
                self._lines.append(line.rstrip("\n"))
                self._grown.notify_all()
        with self._grown:
            self._ended = True
            self._grown.notify_all()

    def _read_stdout(self, stream: IO[str]) -> None:
        for line in stream:
            with self._grown:
                self.stdout += line
                self._grown.notify_all()

    def _finish(self) -> None:
        self._process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self._process.stdout, self._process.stderr):
            if stream:
                stream.close()
        if self._process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()


class Broker(Running):
    """`broker run` on a free port, or on one that a former broker had."""

    def __init__(
        self,
        *arguments: str,
        port: int = 0,
        env: Mapping[str, str] | None = None,
        under: Sequence[str] = (),
    ) -> None:
        run = ["broker", "run", "--listen", f"127.0.0.1:{port}"]
        super().__init__([*run, *arguments], env, under=under)
        try:
            self.port = int(self.wait_for(r"listening on 127\.0\.0\.1:(\d+)")[0])
        except BaseException:
            self.__exit__()
            raise

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


class Agent(Running):
    """`agent run` with these arguments."""

    def __init__(
        self, *arguments: str, env: Mapping[str, str] | None = None, under: Sequence[str] = ()
    ) -> None:
        super().__init__(["agent", "run", *arguments], env, under=under)

    def hurry(self) -> int:
        """The exit code after a second SIGTERM, at which it waits for no answer any more."""
        self.signal(signal.SIGTERM)
        self.wait_for("stopping; ")
        return self.stop()
