"""Agent and broker on one terminal, as a person sees it."""

import fcntl
import os
import pty
import re
import resource
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.processes import PATIENCE_S
from support.terminal import Screen

COLUMNS, ROWS = 80, 24

# How each drawing of the view ends.
_DRAWN = b"\x1b8"


class Desk:
    """A terminal at which programs are started; all that they print is kept."""

    def __init__(self) -> None:
        master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("4H", ROWS, COLUMNS, 0, 0))
        self._grown = threading.Condition()
        self.output = b""
        self._programs: list[subprocess.Popen[bytes]] = []
        self._reader = threading.Thread(target=self._read, args=(master,))
        self._reader.start()

    def start(self, *arguments: str, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        program = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={**os.environ, "PYTHONUTF8": "1", **env},
            process_group=0,  # as a shell starts a job: else Ctrl-Z may stop nothing
        )
        self._programs.append(program)
        return program

    def wait_for(self, pattern: bytes) -> bytes:
        """Wait until this was printed; its first group."""

        def found() -> re.Match[bytes] | None:
            return re.search(pattern, self.output)

        with self._grown:
            self._grown.wait_for(found, PATIENCE_S)
            match = found()
        assert match, self.output[-2000:]
        return match[1]

    def close(self) -> None:
        """End all programs."""
        for program in self._programs:
            program.terminate()
            program.send_signal(signal.SIGCONT)  # one that is stopped ends at nothing else
            program.wait(PATIENCE_S)
        os.close(self._slave)
        self._reader.join(PATIENCE_S)

    def _read(self, master: int) -> None:
        with open(master, "rb", buffering=0) as terminal:
            while True:
                try:
                    printed = terminal.read(65_536)
                except OSError:  # how Linux tells that nobody has it open any more
                    return
                if not printed:
                    return
                with self._grown:
                    self.output += printed
                    self._grown.notify_all()


@contextmanager
def desk() -> Iterator[Desk]:
    desk = Desk()
    try:
        yield desk
    finally:
        desk.close()


def at_work(env: Mapping[str, str], dataset: Path) -> bytes:
    """What broker and agent print on one terminal."""
    with desk() as both:
        broker = ["broker", "run", "--listen", "127.0.0.1:0"]
        both.start(*broker, env=env)
        address = both.wait_for(rb"listening on (127\.0\.0\.1:\d+)").decode()
        run = ["agent", "run", "--simulate", str(dataset), "--rate", "500", "--broker", address]
        assert both.start(*run, env=env).wait(PATIENCE_S) == 0
    return both.output


def test_two_logs_on_one_terminal_do_not_tear_the_view(dataset: Path) -> None:
    screen = Screen(COLUMNS, ROWS)
    views = 0
    for piece in at_work({"TERM": "xterm-256color"}, dataset).split(_DRAWN):
        screen.feed(piece + _DRAWN)
        lines = screen.lines
        titles = [number for number, line in enumerate(lines) if line.startswith("quartet ")]
        if not titles:
            continue
        views += 1
        (top,) = titles
        words = [line.split()[0] for line in lines[top + 1 : top + 6] if line]
        assert words == ["sensor1", "sensor2", "sensor3", "sensor4", "prediction"]
    assert views > 3
    text = "\n".join(screen.lines)
    assert len([line for line in screen.lines if line.startswith("sensor4")]) == 1
    assert "ALARM for " in text
    assert "sensor1 100%" in text
    assert "samples           982" in text


def test_ctrl_z_and_ctrl_backslash_leave_the_terminal_whole(dataset: Path) -> None:
    env = {"TERM": "xterm-256color"}
    left, begun = rb"\x1b\[r\x1b\[24;1H", rb"\x1b\[1;\d+r"
    with desk() as both:
        both.start("broker", "run", "--listen", "127.0.0.1:0", env=env)
        address = both.wait_for(rb"listening on (127\.0\.0\.1:\d+)").decode()
        run = ["agent", "run", "--simulate", str(dataset), "--rate", "1", "--broker", address]
        agent = both.start(*run, env=env)
        resource.prlimit(agent.pid, resource.RLIMIT_CORE, (0, 0))
        both.wait_for(rb"(streaming to)")
        both.wait_for(b"(%s)" % begun)
        agent.send_signal(signal.SIGTSTP)
        state = os.waitid(os.P_PID, agent.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert state
        assert state.si_code == os.CLD_STOPPED
        both.wait_for(b"(%s)" % left)
        agent.send_signal(signal.SIGCONT)
        both.wait_for(b"(?s)%s.*(%s)" % (left, begun))
        agent.send_signal(signal.SIGQUIT)
        assert agent.wait(PATIENCE_S) == -signal.SIGQUIT
        both.wait_for(b"(?s)%s.*%s.*(%s)" % (left, begun, left))


@pytest.mark.parametrize(
    "env",
    [{"TERM": "dumb"}, {"TERM": "xterm", "PYTHONIOENCODING": "ascii"}],
    ids=["dumb", "ascii"],
)
def test_a_terminal_that_cannot_draw_gets_lines(env: Mapping[str, str], dataset: Path) -> None:
    output = at_work(env, dataset)
    assert b"\x1b" not in output
    assert b"sample 981: True" in output
