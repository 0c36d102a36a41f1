"""Runs `broker` and notes where its processor time goes: python -m bench.sampled FILE run ...

From SIGUSR2 on, each 2 ms of processor time, it looks at what each thread of Python does, and books
what that thread has used since: for the innermost module of the broker that it is in. At the end
FILE has seconds.
"""

import collections
import json
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from broker.__main__ import main as broker

_INTERVAL_S = 0.002
_BROKER = str(Path(__file__).parents[1] / "broker")
# What is at the bottom of each stack: from there on down is the event loop.
_BOTTOM = "app"
# Where nothing else of the broker is on the stack, and what Python does not see.
_LOOP = "event loop and libraries"
_NATIVE = "threads of libraries"


class Sampler:
    """Books processor time by room. It works in the main thread, between two bytecodes."""

    def __init__(self) -> None:
        self.used_s: dict[str, float] = collections.defaultdict(float)
        self._seen_s: dict[int, float] = {}
        self._python_s = 0.0
        self._begun_s = 0.0

    def begin(self, number: int, frame: FrameType | None) -> None:
        """Forget what was used up to now: a handler of SIGUSR2."""
        self.look(number, frame)
        self.used_s.clear()
        self._python_s, self._begun_s = 0.0, time.process_time()
        signal.setitimer(signal.ITIMER_PROF, _INTERVAL_S, _INTERVAL_S)

    def look(self, _: int, frame: FrameType | None) -> None:
        """Take a sample: a handler of SIGPROF."""
        frames = sys._current_frames()  # noqa: SLF001 - the way to see other threads
        for thread in threading.enumerate():
            ident = thread.ident
            if ident is None or ident not in frames:
                continue
            now_s = time.clock_gettime(time.pthread_getcpuclockid(ident))
            used_s = now_s - self._seen_s.get(ident, 0.0)
            self._seen_s[ident] = now_s
            self._python_s += used_s
            here = frame if thread is threading.main_thread() else frames[ident]
            self.used_s[_room(here)] += used_s

    def finish(self) -> None:
        """Stop, and book the rest of the process."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        used_s = time.process_time() - self._begun_s
        self.used_s[_NATIVE] += max(0.0, used_s - self._python_s)


def _room(frame: FrameType | None) -> str:
    """The module or package of broker/ that a stack is in."""
    while frame:
        name = frame.f_code.co_filename
        if name.startswith(_BROKER):
            room = Path(name).relative_to(_BROKER).parts[0].removesuffix(".py")
            return room if room != _BOTTOM else _LOOP
        frame = frame.f_back
    return _LOOP


def main() -> int:
    """The broker's exit code."""
    file, *arguments = sys.argv[1:]
    sampler = Sampler()
    signal.signal(signal.SIGPROF, sampler.look)
    signal.signal(signal.SIGUSR2, sampler.begin)
    code = broker(arguments)
    sampler.finish()
    Path(file).write_text(json.dumps(sampler.used_s))
    return code


if __name__ == "__main__":
    sys.exit(main())
