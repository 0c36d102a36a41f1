"""A part that one process after the other plays: the agent, the broker."""

import re
import signal
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from support.processes import Running

from chaos.logged_agent import START

# Both promise to end within 5 s of a SIGTERM; a machine that is busy may be slow.
_MOST_TO_STOP_S = 60.0

# A start takes a second, and a line is rebuilt only when its agent comes.
_MOST_TO_START_S = 60.0

# Characters of a traceback in the verdict: the directory with the rest may be gone.
_SHOWN = 3000

_KILLED, _STOPPED_EARLY = -signal.SIGKILL, -signal.SIGTERM


class Mark(NamedTuple):
    """A moment in what a process says."""

    starts: int
    lines: int


class Role:
    """Starts a process again and again, and keeps what each has said. Left, none runs.

    Each finds the number of its start in the environment.

    It may end with `after_stop` when it is stopped, and with 1 at any time if it
    gives one of the `excuses` as its last words.
    """

    def __init__(
        self,
        name: str,
        arguments: list[str],
        env: Mapping[str, str],
        logs: Path,
        *,
        after_stop: Collection[int],
        excuses: Collection[str] = (),
    ) -> None:
        self.name = name
        self._arguments = arguments
        self._env = env
        self._logs = logs
        self._after_stop = {*after_stop, _STOPPED_EARLY}
        self._excuses = excuses
        self._process: Running | None = None
        self._stopping = False
        self.starts = 0
        self.complaints: list[str] = []

    def start(self, *more: str) -> None:
        """Start the next process. It is not waited for."""
        assert self._process is None, f"one {self.name} runs already"
        self.starts += 1
        env = {**self._env, START: str(self.starts)}
        self._process = Running([*self._arguments, *more], env)

    @property
    def process(self) -> Running:
        assert self._process, f"no {self.name} was started"
        return self._process

    @property
    def runs(self) -> bool:
        """Whether a process was started, and its end not waited for."""
        return self._process is not None

    @property
    def ended_by_itself(self) -> bool:
        """Whether a process that was started, and told nothing, is gone."""
        return bool(self._process and not self._stopping and self._process.code is not None)

    def signal(self, number: signal.Signals) -> None:
        self.process.signal(number)

    def mark(self) -> Mark:
        """This moment, for says()."""
        return Mark(self.starts, self.process.lines_said)

    def says(self, pattern: str, since: Mark, within_s: float) -> bool:
        """Wait for a line that matches. True as well where another process runs meanwhile."""
        if self._process is None or self.starts != since.starts:
            return True
        return self._process.hears(pattern, after=since.lines, within_s=within_s) is not None

    def last_word(self, about: str) -> str:
        """The last line that the process has said and that matches; empty for none."""
        lines = self.process.stderr.splitlines()
        return next((line for line in reversed(lines) if re.search(about, line)), "")

    def has_said(self, pattern: str, since: int) -> bool:
        """Whether a process that came after the first `since` starts has said what matches."""
        logs = map(self._log_of, range(since + 1, self.starts + 1))
        said = [log.read_text() for log in logs if log.exists()]
        said += [self._process.stderr] if self._process and self.starts > since else []
        return any(re.search(pattern, each) for each in said)

    def said_since(self, mark: Mark, pattern: str) -> bool:
        """Whether the process of that moment, which has ended, has said later what matches."""
        lines = self._log_of(mark.starts).read_text().splitlines()[mark.lines :]
        return any(re.search(pattern, line) for line in lines)

    def comes_up(self, pattern: str) -> bool:
        """Wait until the process that was started last says this; False where it ends before."""
        said = self.process.hears(pattern, after=0, within_s=_MOST_TO_START_S)
        if said is None and not self.process.is_silent:
            self.complain(f"has not started after {_MOST_TO_START_S:g} s")
        return said is not None

    def stop(self) -> None:
        """SIGTERM; join() waits for what follows."""
        self._stopping = True
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9, if it runs."""
        if self._process:
            self.process.signal(signal.SIGCONT)
            self.process.signal(signal.SIGKILL)
            self.join(expected={_KILLED})

    def join(
        self, expected: Collection[int] | None = None, limit_s: float = _MOST_TO_STOP_S
    ) -> int | None:
        """Wait for its end, as after a SIGTERM; complains about another exit code, or none."""
        try:
            code = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.complain(f"has not ended after {limit_s:g} s")
            self.process.signal(signal.SIGKILL)
            self.process.wait()
            code = None
        wanted = self._after_stop if expected is None else expected
        if not (code is None or code in wanted or (code == 1 and self._is_excused())):
            self.complain(f"ended with {code}: {self._last_words()}")
        self._file()
        return code

    def _is_excused(self) -> bool:
        return any(excuse in self._last_words() for excuse in self._excuses)

    def _last_words(self) -> str:
        return self.process.stderr.rpartition("\n")[2]

    def complain(self, text: str) -> None:
        """Note what should not have happened."""
        self.complaints.append(f"{self.name} {self.starts} {text}")

    def leave(self) -> None:
        """End the process, if one runs, at once."""
        if self._process:
            with self._process:
                pass
            self._file()

    def _file(self) -> None:
        """Keep what the process has said."""
        said = f"{self.process.stderr}\n{self.process.stdout}"
        self._log_of(self.starts).write_text(said)
        _, _, traceback = said.partition("Traceback")
        if traceback:
            self.complain(f"showed a traceback{traceback[:_SHOWN]}")
        self._process, self._stopping = None, False

    def _log_of(self, start: int) -> Path:
        return self._logs / f"{self.name}-{start:03d}.log"
