"""Tells the tests that use real parts from the pure ones, which `make test-quick` runs.

A real part is a process, a connection or a database. A test module uses one where it imports a
door to it, itself or by a helper of the tests. A test that gets at one by another way fails, and
says so: the rule cannot become wrong unseen.
"""

import ast
import functools
import sys
from pathlib import Path

_TESTS = Path(__file__).parents[1]

# Libraries that start, connect or store, and the rooms of ours whose work that is.
DOORS = {
    *("asyncpg", "grpc", "multiprocessing", "pty", "socket", "sqlite3", "subprocess"),
    *("agent.spool", "broker.recorder.postgres", "broker.recorder.sqlite"),
    "quartet.database",
}

# What Python tells its audit hooks where a real part is used.
_EVENTS = {
    *("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "subprocess.Popen"),
    *("socket.bind", "socket.connect", "sqlite3.connect"),
}


@functools.cache
def door(module: Path) -> str | None:
    """The door that a test module or a helper imports; None where it is pure."""
    seen = {module}
    waiting = [module]
    while waiting:
        for name in _imported(waiting.pop()):
            parts = name.split(".")
            for end in range(1, len(parts) + 1):
                prefix = ".".join(parts[:end])
                if prefix in DOORS:
                    return prefix
                helper = _TESTS.joinpath(*parts[:end]).with_suffix(".py")
                if helper not in seen and helper.is_file():
                    seen.add(helper)
                    waiting.append(helper)
    return None


@functools.cache
def _imported(module: Path) -> frozenset[str]:
    names = set[str]()
    for node in ast.walk(ast.parse(module.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


class Watch:
    """Notes the real parts that this process uses. Only one is made: an audit hook stays."""

    def __init__(self) -> None:
        self._used: list[str] = []
        sys.addaudithook(self._note)

    def take(self) -> list[str]:
        """What was used since the last call."""
        used, self._used = self._used, []
        return used

    def _note(self, event: str, _: tuple[object, ...]) -> None:
        if event in _EVENTS:
            self._used.append(event)
