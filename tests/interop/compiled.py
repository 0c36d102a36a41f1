"""Makes the clients that are not in Python; a test fails where what they need is not there."""

import subprocess
from pathlib import Path

import pytest

from bench import compiled
from interop.peer import PEERS, Peer
from interop.ways import need

_HEALTH = PEERS / "health.proto"


def in_cpp(folder: Path) -> Peer:
    """By Debian's C++ library."""
    try:
        program = compiled.build(PEERS / "by_cpp.cc", folder, [compiled.WIRE, _HEALTH])
    except compiled.CompileError as error:
        pytest.fail(f"C++: {error}")
    return Peer(str(program))


def in_js(folder: Path) -> Peer:
    """By @grpc/grpc-js, as npm gives it."""
    node = need("node", "nodejs")
    command = [need("npm"), "install", "--no-audit", "--no-fund", "--prefix", str(folder)]
    done = subprocess.run([*command, "@grpc/grpc-js"], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"npm does not install @grpc/grpc-js: {done.stderr[-1000:]}")
    client = folder / "by_js.cjs"  # beside what it requires
    client.write_bytes((PEERS / "by_js.cjs").read_bytes())
    return Peer(node, str(client))
