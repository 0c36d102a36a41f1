"""Two machines on a cable, as a Pi and its broker are: namespaces of this one. Needs root."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
from support.patience import PATIENCE_S, until

from interop.ways import need

# Nobody answers as a name server there, and each question to one fails at once: nss-mdns asks
# first whether DNS has names in .local.
_OWN = """
mount -t tmpfs tmpfs /run
mkdir /run/avahi-daemon
mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf
mount --bind "$1/resolv.conf" /etc/resolv.conf
ip link set lo up
echo ready
exec cat
"""

_AVAHI = """
[server]
host-name={name}
use-ipv6=no
allow-interfaces=cable
enable-dbus=no
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """A network, a /run and an /etc/nsswitch.conf of its own."""

    pid: int
    folder: Path

    @classmethod
    @contextlib.contextmanager
    def up(cls, folder: Path, hosts: str) -> Iterator[Self]:
        """Have one while entered; `hosts` is how it finds host names."""
        folder.mkdir()
        (folder / "nsswitch.conf").write_text(f"passwd: files\ngroup: files\nhosts: {hosts}\n")
        (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        command = [need("unshare", "util-linux"), "--mount", "--net", "--propagation", "private"]
        with subprocess.Popen(
            [*command, "sh", "-euc", _OWN, "sh", str(folder)],
            stdin=subprocess.PIPE,  # which ends it
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == "ready\n", "no namespaces here"
            yield cls(process.pid, folder)

    @property
    def inside(self) -> Sequence[str]:
        """What a command is started by there."""
        return ["nsenter", f"--target={self.pid}", "--mount", "--net", "--"]

    def call(self, *command: str) -> str:
        """Run a command there to its end; what it prints on stdout."""
        done = subprocess.run(
            [*self.inside, *command],
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        return done.stdout

    @contextlib.contextmanager
    def avahi(self, name: str) -> Iterator[None]:
        """Tell the cable that this machine is `name`.local, and ask it for others."""
        program = need("avahi-daemon")
        path = self.folder / "avahi.conf"
        path.write_text(_AVAHI.format(name=name))
        command = [program, "--no-drop-root", "--no-chroot", "--no-rlimits", f"--file={path}"]
        with subprocess.Popen([*self.inside, *command], stderr=subprocess.DEVNULL) as process:
            try:
                yield
            finally:
                process.terminate()

    def knows(self, name: str) -> None:
        """Wait until the system finds a host name there."""
        until(lambda: bool(self.call("getent", "ahostsv4", name)))


def connect(one: Machine, other: Machine) -> None:
    """A cable between two machines: 10.0.0.1 at `one`, 10.0.0.2 at `other`, `cable` at both."""
    one.call("ip", "link", "add", "cable", "type", "veth", "peer", "name", "end")
    one.call("ip", "link", "set", "end", "netns", str(other.pid))
    other.call("ip", "link", "set", "end", "name", "cable")
    for machine, address in ((one, "10.0.0.1/24"), (other, "10.0.0.2/24")):
        machine.call("ip", "address", "add", address, "dev", "cable")
        machine.call("ip", "link", "set", "cable", "up")
        machine.call("ip", "route", "add", "default", "dev", "cable")
    assert "10.0.0.2" in other.call("ip", "address", "show", "cable"), "no cable here"


def need_root() -> None:
    """The test fails without the rights to make a network."""
    if os.geteuid() != 0:
        pytest.fail("a network of its own needs root: run 'sudo make interop'")
