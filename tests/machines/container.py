"""A machine with a systemd of its own, reached over ssh on loopback as a Raspberry Pi is."""

import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from machines import cgroups, reach
from machines.login import Login
from machines.roots import BedError, root

_BOOT_S = 90  # a loaded machine of two cores boots two at once in a tenth of that
_STOP_S = 30
_POLL_S = 0.1
_REBOOT = 133  # what nspawn exits with to be started again

# Enters its control groups and a mount namespace, so that the overlay is gone when nspawn is. The
# first signal is the kernel's, should the tests be killed: nspawn then powers the machine off.
_START = """
set -eu
root=$1 home=$2 groups=$3
shift 3
for group in $groups; do echo $$ >"$group/cgroup.procs"; done
exec unshare --mount sh -euc '
    mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" overlay "$2/root"
    shift 2
    exec systemd-nspawn "$@"
' - "$root" "$home" "$@"
"""

# Without bpf(), systemd in the machine enforces no DeviceAllow and no IPAddressDeny, silently.
_NSPAWN = (
    "--quiet",
    "--boot",
    "--keep-unit",
    "--register=no",
    "--console=read-only",
    "--notify-ready=yes",
    "--resolv-conf=copy-host",
    "--link-journal=no",
    "--system-call-filter=bpf",
    "--capability=CAP_BPF,CAP_NET_ADMIN",
)


class Container:
    """A machine of a Debian suite with a private copy of its root; what it wrote goes at the end.

    It has the host's network: what listens in it listens on the host.
    """

    def __init__(self, suite: str, name: str | None = None) -> None:
        self.suite = suite
        self.name = name or suite
        self._stack = ExitStack()
        self._state = threading.Condition()
        # guarded by: _state
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader: int | None = None
        self._boots = 0
        self._stopping = False
        self._is_dark = False
        self._exit_code: int | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._root = stack.enter_context(root(self.suite))
            self._home = Path(tempfile.mkdtemp(prefix=f"quartet-{self.name}-"))
            stack.callback(shutil.rmtree, self._home)
            for directory in ("upper", "work", "root"):
                (self._home / directory).mkdir(mode=0o755)
            self.login = Login(self._home)
            self._write_identity()
            self._pip = reach.pip_settings()
            self._write("etc/pip.conf", reach.pip_conf(self._pip))
            self._groups = cgroups.make(f"quartet-{os.getpid()}-{self.name}")
            stack.callback(cgroups.remove, self._groups)
            self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            stack.enter_context(self._notices)
            self._notices.bind(str(self._home / "notices"))
            self._keeper = threading.Thread(target=self._keep_up, name=f"machine {self.name}")
            self._keeper.start()
            stack.callback(self.stop)
            self._await_boot(1)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # ---- its life

    def reboot(self) -> None:
        """Reboot; return when it is up again."""
        with self._state:
            boots = self._boots
        self.run("systemctl", "reboot", check=False)
        self._await_boot(boots + 1)

    def switch_off(self) -> None:
        """Take its power: it says nothing any more, and ends no connection either."""
        with self._state:
            self._stopping = self._is_dark = True
        cgroups.freeze(self._groups)

    def stop(self) -> None:
        """Power off, in order where it can within 30 s; at once where not."""
        with self._state:
            self._stopping = True
            if self._nspawn is not None and not self._is_dark:
                self._nspawn.send_signal(signal.SIGTERM)
        if not self._is_dark:
            self._keeper.join(_STOP_S)
        cgroups.kill(self._groups)
        self._keeper.join(_STOP_S)
        if self._keeper.is_alive():
            raise BedError(f"{self.name} cannot be stopped")

    @property
    def console(self) -> str:
        """What the machine, and nspawn, have printed."""
        return (self._home / "console").read_text(errors="replace")

    def _await_boot(self, number: int) -> None:
        with self._state:
            self._state.wait_for(
                lambda: self._boots >= number or self._exit_code is not None, _BOOT_S
            )
            if self._boots >= number and self._exit_code is None:
                return
            what = "still boots" if self._exit_code is None else f"ended with {self._exit_code}"
        raise BedError(f"{self.name} {what}:\n{self.console[-3000:]}")

    def _keep_up(self) -> None:
        """Start nspawn, and again whenever the machine reboots. The thread of _keeper."""
        code = _REBOOT
        try:
            while code == _REBOOT:
                with self._state:
                    if self._stopping:
                        break
                    nspawn = self._nspawn = self._start()
                ended = os.pidfd_open(nspawn.pid)
                while ended not in select.select([self._notices.fileno(), ended], [], [])[0]:
                    self._take_notice(self._notices.recv(4096).decode())
                os.close(ended)
                with self._state:
                    self._leader = None
                    code = nspawn.wait()
        finally:
            with self._state:
                self._exit_code = code
                self._state.notify_all()

    def _start(self) -> subprocess.Popen[bytes]:
        groups = " ".join(map(str, self._groups))
        shared = [f"--bind-ro={path}" for path in reach.shared_paths(self._pip)]
        where = ["--directory", str(self._home / "root"), "--machine", self.name]
        start = ["sh", "-c", _START, "-", str(self._root), str(self._home), groups]
        with (self._home / "console").open("ab") as console:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *start, *_NSPAWN, *where, *shared],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env={
                    "PATH": os.environ["PATH"],
                    "NOTIFY_SOCKET": str(self._home / "notices"),
                    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
                },
            )

    def _take_notice(self, notice: str) -> None:
        fields = dict(line.partition("=")[::2] for line in notice.splitlines())
        with self._state:
            if "X_NSPAWN_LEADER_PID" in fields:
                self._leader = int(fields["X_NSPAWN_LEADER_PID"])
            if fields.get("READY") == "1":
                self._boots += 1
            self._state.notify_all()

    # ---- what it is

    def _write_identity(self) -> None:
        self._write("etc/hostname", f"{self.name}\n")
        self._write("etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n")
        self._write("etc/machine-id", f"{secrets.token_hex(16)}\n")
        for path, (text, mode) in self.login.files().items():
            self._write(path, text, mode)

    def _write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Lay a file over the root, before the first boot."""
        parent = self._home / "upper"
        for part in Path(path).parts[:-1]:
            parent /= part
            parent.mkdir(exist_ok=True)
            parent.chmod(0o755)
        file = parent / Path(path).name
        file.write_text(text)
        file.chmod(mode)

    # ---- what one does with it

    def run(self, *command: str, check: bool = True, input: str | None = None) -> str:  # noqa: A002
        """What a command prints that runs as root inside; CalledProcessError where it fails."""
        with self._state:
            self._state.wait_for(
                lambda: self._leader is not None or self._exit_code is not None, _BOOT_S
            )
            leader = self._leader
        if leader is None:
            raise BedError(f"{self.name} is off: {command[0]} cannot run in it")
        enter = ["nsenter", f"--target={leader}", "--all", "--root", "--wd", "env", "-i"]
        clean = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "HOME=/root"]
        return _output([*enter, *clean, "LANG=C.UTF-8", *command], check, input)

    def ssh(self, *command: str, check: bool = True, input: str | None = None) -> str:  # noqa: A002
        """The same over ssh, as the user pi."""
        whom = f"{self.login.user}@{self.login.host}"
        return _output(["ssh", *self.login.ssh_options, whom, *command], check, input)

    def wait_until(self, *command: str, timeout_s: float = 30) -> str:
        """Run a command as root until it succeeds; what it printed then."""
        printed = ""

        def succeeds() -> bool:
            nonlocal printed
            try:
                printed = self.run(*command)
            except subprocess.CalledProcessError:
                return False
            return True

        wait_until(succeeds, timeout_s, f"{self.name}: {' '.join(command)}")
        return printed


def inventory(groups: Mapping[str, Sequence[Container]]) -> str:
    """An inventory for Ansible with these groups, in JSON; name its file *.json."""
    return json.dumps(
        {
            group: {"hosts": {each.name: each.login.ansible_variables for each in machines}}
            for group, machines in groups.items()
        },
        indent=2,
    )


def wait_until(holds: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Ask until it holds; TimeoutError, with what was waited for, where it does not in time."""
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not within {timeout_s:g} s: {what}")
        time.sleep(_POLL_S)


def _output(command: list[str], check: bool, input_: str | None) -> str:
    ended = subprocess.run(
        command,
        input=input_,
        stdin=subprocess.DEVNULL if input_ is None else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and ended.returncode:
        error = subprocess.CalledProcessError(ended.returncode, command, ended.stdout, ended.stderr)
        error.add_note(ended.stdout + ended.stderr)
        raise error
    return ended.stdout
