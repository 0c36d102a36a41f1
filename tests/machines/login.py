"""How one machine is reached over ssh: a port on loopback, and two keys made for this run."""

import socket
import subprocess
from pathlib import Path

_SSHD = """\
ListenAddress 127.0.0.1
Port {port}
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/authorized_keys
PasswordAuthentication no
UseDNS no
"""


class Login:
    """The keys and the port of one machine, kept in a directory of its own."""

    user = "pi"
    host = "127.0.0.1"

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._directory = directory
        self._key = directory / "login"
        for name in ("login", "host"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)]
            subprocess.run(command, check=True)
        known = f"[{self.host}]:{self.port} {(directory / 'host.pub').read_text()}"
        (directory / "known_hosts").write_text(known)

    def files(self) -> dict[str, tuple[str, int]]:
        """What the machine's sshd needs: path, content, mode."""
        return {
            "etc/ssh/sshd_config.d/bed.conf": (_SSHD.format(port=self.port), 0o644),
            "etc/ssh/authorized_keys": ((self._directory / "login.pub").read_text(), 0o644),
            "etc/ssh/ssh_host_ed25519_key": ((self._directory / "host").read_text(), 0o600),
        }

    @property
    def ssh_options(self) -> list[str]:
        """Options of ssh for this machine alone, that heed nothing of the user's."""
        settings = {
            "Port": self.port,
            "IdentityFile": self._key,
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self._directory / "known_hosts",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
        }
        return ["-F/dev/null", *(f"-o{name}={value}" for name, value in settings.items())]

    @property
    def ansible_variables(self) -> dict[str, str | int]:
        """What an inventory says of this host."""
        return {
            "ansible_host": self.host,
            "ansible_port": self.port,
            "ansible_user": self.user,
            "ansible_ssh_private_key_file": str(self._key),
            "ansible_ssh_common_args": " ".join(self.ssh_options),
            "ansible_python_interpreter": "/usr/bin/python3",
        }


def free_port() -> int:
    """A port on loopback that nothing listened at a moment ago."""
    with socket.socket() as free:
        free.bind((Login.host, 0))
        port: int = free.getsockname()[1]
        return port
