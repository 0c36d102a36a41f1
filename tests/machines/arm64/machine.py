"""A whole arm64 machine: Debian under qemu, with a virtual ADS1115 at its /dev/i2c-1."""

import contextlib
import shutil
import socket
import subprocess
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Self

from machines import PROJECT
from machines.wheelhouse import wheelhouse

HERE = Path(__file__).parent

HOST = "10.0.2.2"
"""By which the machine reaches what listens at this one's 127.0.0.1."""

# Emulated, and on a machine that others use too.
BOOT_S = 180.0
COMMAND_S = 600.0
POWER_OFF_S = 60.0
POLL_S = 0.2

CONSOLE_LINES = 40

HARDWARE = ("-cpu", "cortex-a72", "-smp", "2", "-m", "2048")

# What a Raspberry Pi 4 says that it is: gpiozero drives the pins of no other board.
MODEL = "Raspberry Pi 4 Model B Rev 1.5"
REVISION = "c03115"


class Machine:
    """Starts when it is entered, and is ready then: ssh, network, bus. Ends when it is left.

    What belongs to the run is in `directory`; its console.log stays there.
    """

    def __init__(self, directory: Path, name: str = "pi") -> None:
        self.name = name
        self.console = directory / "console.log"
        self._directory = directory
        self._config = directory / "ssh_config"
        self._qemu: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        made = Path(_output("sh", str(HERE / "root.sh")))
        self._make_keys()
        port = _free_port()
        self._write_ssh_config(port)
        initrd = self._directory / "initrd"
        shutil.copyfile(made / "root.cpio", initrd)
        with initrd.open("ab") as file:
            file.write(self._overlay())
        self._qemu = self._start(made / "vmlinuz", initrd, port)
        try:
            self._wait_until_up()
        except BaseException:
            self._end()
            raise
        finally:
            initrd.unlink()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def ansible_variables(self) -> dict[str, str]:
        """What an inventory says of this host."""
        return {
            "ansible_ssh_common_args": f"-F {self._config}",
            "ansible_python_interpreter": "/usr/bin/python3",
        }

    def attempt(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of its shell, as root, whatever becomes of it."""
        return subprocess.run(
            ["ssh", "-F", self._config, self.name, command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )

    def run(self, command: str) -> str:
        """What a command of its shell prints, as root. It must succeed."""
        done = self.attempt(command)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def chip(self, command: str) -> None:
        """Have something befall the chip: see cuse_i2c.py."""
        self.run(f"PYTHONPATH=/opt/chip python3 /opt/chip/cuse_i2c.py {command}")

    def _make_keys(self) -> None:
        for name in ("key", "host_key"):
            path = str(self._directory / name)
            _output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path)

    def _write_ssh_config(self, port: int) -> None:
        known = self._directory / "known_hosts"
        known.write_text(f"{self.name} {(self._directory / 'host_key.pub').read_text()}")
        self._config.write_text(
            f"""\
Host {self.name}
    HostName 127.0.0.1
    Port {port}
    User root
    IdentityFile {self._directory / "key"}
    IdentitiesOnly yes
    HostKeyAlias {self.name}
    UserKnownHostsFile {known}
    StrictHostKeyChecking yes
    BatchMode yes
    ConnectTimeout 10
    LogLevel ERROR
    ControlMaster auto
    ControlPersist yes
    ControlPath {self._directory / "ssh"}
"""
        )

    def _overlay(self) -> bytes:
        """What is laid over the root: the keys, the settings, and what serves the chip."""
        top = self._directory / "overlay"
        shutil.copytree(HERE / "files", top)
        ssh = top / "etc" / "ssh"
        ssh.mkdir(parents=True)
        shutil.copy(self._directory / "host_key", ssh / "ssh_host_ed25519_key")
        trusted = top / "root" / ".ssh" / "authorized_keys"
        trusted.parent.mkdir(parents=True, mode=0o700)
        shutil.copy(self._directory / "key.pub", trusted)
        hosts = f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n{HOST} host\n"
        (top / "etc" / "hosts").write_text(hosts)
        _put_chip(top / "opt" / "chip")
        paths = "\n".join(str(path.relative_to(top)) for path in sorted(top.rglob("*")))
        pack = ("cpio", "--quiet", "--create", "--format=newc", "--owner=+0:+0")
        done = subprocess.run(
            pack, input=paths.encode(), cwd=top, check=True, stdout=subprocess.PIPE
        )
        shutil.rmtree(top)
        return done.stdout

    def _start(self, kernel: Path, initrd: Path, port: int) -> subprocess.Popen[bytes]:
        append = (
            "console=ttyAMA0 rdinit=/sbin/init loglevel=4 net.ifnames=0"
            f" systemd.hostname={self.name} systemd.mask=serial-getty@ttyAMA0.service"
            " systemd.mask=getty@tty1.service systemd.mask=e2scrub_reap.service"
            " systemd.wants=systemd-networkd.service systemd.wants=i2c-1.service"
        )
        command = ["setpriv", "--pdeathsig", "KILL", "qemu-system-aarch64", "-no-reboot"]
        command += ["-M", "virt", *HARDWARE, "-accel", "tcg,thread=multi"]
        command += ["-dtb", str(self._device_tree()), "-kernel", str(kernel)]
        command += ["-initrd", str(initrd), "-append", append]
        command += ["-display", "none", "-monitor", "none", "-serial", f"file:{self.console}"]
        command += ["-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22"]
        command += ["-device", "virtio-net-device,netdev=net"]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def _device_tree(self) -> Path:
        """The emulated board's own, under the name of a Raspberry Pi."""
        path = self._directory / "board.dtb"
        dump = ("qemu-system-aarch64", "-M", f"virt,dumpdtb={path}", *HARDWARE, "-display", "none")
        subprocess.run(dump, check=True, capture_output=True)
        _output("fdtput", "-t", "s", str(path), "/", "model", MODEL)
        _output("fdtput", "-p", "-t", "x", str(path), "/system", "linux,revision", REVISION)
        return path

    def _wait_until_up(self) -> None:
        def is_up() -> bool:
            assert self._qemu
            if (code := self._qemu.poll()) is not None:
                raise AssertionError(f"qemu has ended with {code}\n{self._console_tail()}")
            # ssh waits for an answer that an unready sshd never gives, no longer than it is told.
            return self.attempt("true").returncode == 0

        try:
            until(is_up, "the machine answers ssh", BOOT_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._console_tail()}") from None
        state = self.attempt("systemctl is-system-running --wait").stdout.strip()
        assert state == "running", f"{state}\n{self.run('systemctl --failed')}"

    def _console_tail(self) -> str:
        lines = self.console.read_text(errors="replace").splitlines()
        return "\n".join(lines[-CONSOLE_LINES:])

    def _end(self) -> None:
        """Power off in order, or else at once."""
        assert self._qemu
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._qemu.poll() is None and self.attempt("systemctl poweroff").returncode == 0:
                self._qemu.wait(POWER_OFF_S)
        self._qemu.kill()
        self._qemu.wait()
        # Its master ends with the connection; where that is still there, now.
        subprocess.run(
            ["ssh", "-F", self._config, "-O", "exit", self.name], capture_output=True, check=False
        )


def until(holds: Callable[[], bool], what: str, deadline_s: float) -> None:
    """Wait until it holds; AssertionError where it does not in time."""
    ends_s = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < ends_s, f"not within {deadline_s:g} s: {what}"
        time.sleep(POLL_S)


def _put_chip(directory: Path) -> None:
    """The device's server, with this checkout's chip and the one library that this imports."""
    directory.mkdir(parents=True)
    shutil.copy(HERE / "cuse_i2c.py", directory)
    compiled = shutil.ignore_patterns("__pycache__")
    for package in ("agent", "quartet", "proto/wire"):
        source = PROJECT / package
        shutil.copytree(source, directory / source.name, ignore=compiled)
    (library,) = wheelhouse("aarch64").glob("msgspec-*-cp311-*_aarch64.whl")
    with zipfile.ZipFile(library) as archive:
        archive.extractall(directory)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()
