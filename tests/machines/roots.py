"""Root file systems that the machines start from: made once a suite, kept in $QUARTET_CACHE.

python -m machines.roots makes them all (Debian, root). Delete the cache to start afresh.
"""

import contextlib
import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

# Everywhere: systemd and what Raspberry Pi OS has that Ansible and an agent rely on; what a
# deployment would install is there beforehand, so that a run is quick.
_PACKAGES = (
    "ca-certificates",
    "dbus",
    "i2c-tools",
    "iproute2",
    "libpam-systemd",
    "openssh-server",
    "python3",
    "python3-apt",
    "python3-gpiozero",
    "python3-packaging",
    "python3-setuptools",
    "python3-systemd",
    "python3-venv",
    "sudo",
    "systemd",
    "systemd-sysv",
)
SUITES = ("bookworm", "trixie")

_TOOLS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "ssh-keygen": "openssh-client",
    "nsenter": "util-linux",
}

# In memory, for dpkg syncs each file; in a mount namespace, so that no mount outlives it.
_BUILD = """
set -eu
suite=$1 mirror=$2 packages=$3 new=$4
mkdir -p "$new.memory"
mount -t tmpfs -o size=2g,mode=755 tmpfs "$new.memory"
debootstrap --variant=minbase --include="$packages" "$suite" "$new.memory/made" "$mirror"
rm -rf "$new.memory"/made/var/cache/apt/*.bin "$new.memory"/made/var/cache/apt/archives/*.deb
cp -a "$new.memory/made" "$new"
umount "$new.memory"
rmdir "$new.memory"
"""

# As on Raspberry Pi OS: the user pi, who may do all without a password. The identity of a machine
# (its id, its ssh keys, its name) is not the root's but that of each copy. The two I2C buses are
# /dev/fuse and /dev/autofs by another name: any kernel opens them, no systemd policy allows them
# unasked (as it does null or full), and neither understands an I2C ioctl.
_FINISH = """
set -eu
rm -f /etc/ssh/ssh_host_*
: >/etc/machine-id
useradd --create-home --uid 1000 --shell /bin/bash pi
getent group i2c >/dev/null || groupadd --system i2c
usermod --append --groups i2c pi
echo 'pi ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/010_pi-nopasswd
chmod 440 /etc/sudoers.d/010_pi-nopasswd
mkdir -p /var/log/journal
cat >/etc/systemd/system/i2c-devices.service <<'END'
[Unit]
Description=Stand-ins for two I2C buses: one to allow, one to forbid
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/mknod --mode=660 /dev/i2c-1 c 10 229
ExecStart=/bin/mknod --mode=660 /dev/i2c-2 c 10 235
ExecStart=/bin/chgrp i2c /dev/i2c-1 /dev/i2c-2
[Install]
WantedBy=sysinit.target
END
systemctl enable i2c-devices.service ssh.service
systemctl mask console-getty.service getty@.service
"""


class BedError(Exception):
    """The machines cannot be had: what is missing, and what to do."""


def ensure_tools() -> None:
    """Install what is missing on the host, or say what must be."""
    if os.geteuid() != 0:
        raise BedError("the machines need root: run it with sudo")
    missing = sorted({package for tool, package in _TOOLS.items() if not shutil.which(tool)})
    if not missing:
        return
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if not shutil.which("apt-get"):
        raise BedError(f"missing; on Debian: {' '.join(install)}")
    _call(["apt-get", "update"])
    _call(["env", "DEBIAN_FRONTEND=noninteractive", *install])


def cache() -> Path:
    """Where roots are kept; made when it is not there."""
    default = Path.home() / ".cache" / "quartet"
    directory = Path(os.environ.get("QUARTET_CACHE", default)) / "machines"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@contextlib.contextmanager
def root(suite: str) -> Iterator[Path]:
    """The root of a suite, made when it is not there; not removed by another run meanwhile."""
    ensure_tools()
    with (cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = _make(suite)
        user = os.open(made, os.O_RDONLY)
        fcntl.flock(user, fcntl.LOCK_SH)
    try:
        yield made
    finally:
        os.close(user)


def _make(suite: str) -> Path:
    recipe = (*_PACKAGES, _BUILD, _FINISH, _sources(suite), _apt_settings())
    made = cache() / f"{suite}-{hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]}"
    if made.is_dir():
        return made
    for old in cache().glob(f"{suite}-*"):
        _remove_unused(old)
    new = made.with_suffix(".new")
    packages = ",".join(_PACKAGES)
    build = ["sh", "-c", _BUILD, "-", suite, _mirror("Debian"), packages, str(new)]
    _call(["unshare", "--mount", *build])
    (new / "etc/apt/sources.list").write_text(_sources(suite))
    (new / "etc/apt/apt.conf.d/90host").write_text(_apt_settings())
    _call(["chroot", str(new), "sh", "-c", _FINISH])
    new.rename(made)
    return made


def _remove_unused(old: Path) -> None:
    """Remove an older root, or what a killed run left, unless a machine runs on it."""
    user = os.open(old, os.O_RDONLY)
    try:
        fcntl.flock(user, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(old)
    except BlockingIOError:
        pass
    finally:
        os.close(user)


def _sources(suite: str) -> str:
    """What apt reads in the machine: the host's mirrors, for the machine's suite."""
    return (
        f"deb {_mirror('Debian')} {suite} main\n"
        f"deb {_mirror('Debian')} {suite}-updates main\n"
        f"deb {_mirror('Debian-Security')} {suite}-security main\n"
    )


@functools.cache
def _mirror(label: str) -> str:
    command = ["apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)"]
    for _ in range(2):
        for line in _call([*command, "Created-By: Packages", "Origin: Debian"]).splitlines():
            if line.startswith(f"{label}|"):
                return line.removeprefix(f"{label}|")
        _call(["apt-get", "update"])
    raise BedError(f"no mirror of {label} in this machine's apt sources")


def _apt_settings() -> str:
    """The host's settings of how apt reaches its mirrors, proxies among them."""
    kept = ("Acquire::http", "Acquire::Check-")
    lines = _call(["apt-config", "dump"]).splitlines(keepends=True)
    return "".join(line for line in lines if line.startswith(kept))


def _call(command: list[str]) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise BedError(f"{' '.join(command[:4])} failed:\n{(ended.stdout + ended.stderr)[-3000:]}")
    return ended.stdout


def main() -> int:
    """Make every root; print where each is, and how long it took."""
    for suite in SUITES:
        began_s = time.monotonic()
        with root(suite) as made:
            print(f"{made} in {time.monotonic() - began_s:.0f} s")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
