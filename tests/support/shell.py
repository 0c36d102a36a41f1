"""Runs blocks of commands from the documentation, as a reader would, in a directory of its own."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from support.commands import commands
from support.markdown import ROOT, Block
from support.patience import PATIENCE_S

# Each of these may run anywhere. A block with any other program is for another machine.
_RUNNABLE = {
    "agent",
    "broker",
    "cat",
    "cp",
    "head",
    "kill",
    "mkdir",
    "openssl",
    "python",
    "rm",
    ".",
}

# What a command of another machine would have to bring, or a server of a database.
_ELSEWHERE = re.compile(r"/etc/|/opt/|/var/|/path/|~/|[A-Z]{4,}|\.csr\b|postgresql://")


def can_run(block: Block) -> bool:
    """Whether all of a block can run here, on loopback, and without rights."""
    words = list(commands(block.text))
    return all(each[0] in _RUNNABLE for each in words) and not _ELSEWHERE.search(block.text)


class Reader:
    """Who follows a page from its beginning, in a directory with a copy of the data."""

    def __init__(self, directory: Path, port: int) -> None:
        """`port` is one that no other test uses."""
        self._directory = directory
        shutil.copytree(ROOT / "dataset", directory / "dataset")
        (directory / ".venv/bin").mkdir(parents=True)
        (directory / ".venv/bin/activate").touch()
        programs = directory / "programs"
        programs.mkdir()
        address = f"127.0.0.1:{port}"
        # The same commands, at that port.
        for name, option in (("agent", "--broker"), ("broker", "--listen")):
            script = programs / name
            script.write_text(
                f'#!/bin/sh\nverb=$1; shift\n[ "$verb" = run ] && set -- {option} {address} "$@"\n'
                f'exec {sys.executable} -m {name} "$verb" "$@"\n'
            )
            script.chmod(0o755)
        (programs / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (programs / "python").chmod(0o755)
        self._environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(directory),
            "MPLBACKEND": "agg",
        }

    def save(self, block: Block) -> None:
        """Write the file that a page tells to save."""
        if block.saved_as:
            (self._directory / block.saved_as).write_text(block.text)

    def run(self, block: Block) -> str:
        """Run a block to its end; stdout and stderr. A broker that it leaves running is ended."""
        with subprocess.Popen(
            ["bash", "-euc", f"set -o pipefail\n{block.text}"],
            cwd=self._directory,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as shell:
            if _serves(block):
                return self._stop_once_it_listens(shell)
            said, _ = shell.communicate(timeout=PATIENCE_S)
        assert shell.returncode == 0, said
        return said

    def _stop_once_it_listens(self, shell: "subprocess.Popen[str]") -> str:
        assert shell.stdout
        said = ""
        for line in shell.stdout:
            said += line
            if "listening on" in line:
                os.killpg(shell.pid, signal.SIGTERM)
        assert "listening on" in said, said
        return said


def _serves(block: Block) -> bool:
    """Whether its last command is a broker that runs until it is stopped."""
    last = list(commands(block.text))[-1]
    return last[:2] == ["broker", "run"] and "--check" not in last
