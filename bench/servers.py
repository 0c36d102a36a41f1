"""PostgreSQL servers for measurements: one, or one whose standby confirms each commit; on disk."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.usage import cpu_s, descendants

_PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)

# They refuse root, and work for the user that Debian's package has made.
_USER: dict[str, Any] = (
    {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
)
_START_S = 60.0


class ServerError(Exception):
    """A server did not start."""


def is_there() -> bool:
    """Whether a server is installed."""
    return _PROGRAMS is not None


class Servers:
    """A primary and, if there is one, its standby. Loopback only."""

    def __init__(self, folder: Path, *, confirmed: bool) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        _run(folder, "initdb", "-D", "primary", "-A", "trust", "-U", "postgres", "-E", "UTF8")
        names = ("-csynchronous_standby_names=ANY 1 (*)",) if confirmed else ()
        port = self._start("primary", *names)
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        if confirmed:
            where = f"host=127.0.0.1 port={port} user=postgres"
            copy = "-D", "standby", "-R", "-X", "stream", "-c", "fast", "-d", where
            _run(folder, "pg_basebackup", *copy)
            self._start("standby")

    def cpu_s(self) -> float:
        """What all processes have used that still run."""
        total = 0.0
        for process in self._processes:
            for pid in (process.pid, *descendants(process.pid)):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    total += cpu_s(pid)
        return total

    def stop(self) -> None:
        """End them, the standby first."""
        for process in reversed(self._processes):
            process.send_signal(2)
            process.wait()

    def _start(self, name: str, *settings: str) -> int:
        assert _PROGRAMS  # noqa: S101 - see is_there()
        with socket.socket() as place:
            place.bind(("127.0.0.1", 0))
            port: int = place.getsockname()[1]
        listening = "-h", "127.0.0.1", "-p", str(port), "-k", str(self._folder)
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [_PROGRAMS / "postgres", "-D", name, *listening, "-cmax_connections=60", *settings],
                cwd=self._folder,
                stdout=log,
                stderr=log,
                **_USER,
            )
        self._processes.append(process)
        asked = [str(_PROGRAMS / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        give_up_s = time.monotonic() + _START_S
        while subprocess.run(asked, check=False).returncode:
            if process.poll() is not None or time.monotonic() > give_up_s:
                raise ServerError((self._folder / f"{name}.log").read_text(errors="replace"))
            time.sleep(0.05)
        return port


def _run(folder: Path, program: str, *arguments: str) -> None:
    assert _PROGRAMS  # noqa: S101 - see is_there()
    command = [str(_PROGRAMS / program), *arguments]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, **_USER)


@contextlib.contextmanager
def running(*, confirmed: bool) -> Iterator[Servers]:
    """Servers in a directory of their own, while entered."""
    folder = Path(tempfile.mkdtemp(prefix="quartet-bench-"))
    try:
        if _USER:
            shutil.chown(folder, "postgres", "postgres")
        servers = Servers(folder, confirmed=confirmed)
        try:
            yield servers
        finally:
            servers.stop()
    finally:
        shutil.rmtree(folder)
