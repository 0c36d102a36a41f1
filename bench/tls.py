"""TLS for the load and the broker that it meets: by an authority that lives as long as they."""

import ssl
import subprocess
import sys
from pathlib import Path

_HOST = "127.0.0.1"


class TlsSocket:
    """A connection by TLS with a socket's methods, as far as a stream needs them.

    It raises BlockingIOError where a socket does that does not block.
    """

    def __init__(self, connection: ssl.SSLSocket) -> None:
        """`connection` does not block, and has shaken hands."""
        self._connection = connection

    def fileno(self) -> int:
        """For the poll."""
        return self._connection.fileno()

    def close(self) -> None:
        """Leave."""
        self._connection.close()

    def recv(self, size: int) -> bytes:
        """All that is there: the poll does not see what OpenSSL has read ahead."""
        parts: list[bytes] = []
        try:
            while data := self._connection.recv(size):
                parts.append(data)
        except ssl.SSLWantReadError:
            if not parts:
                raise BlockingIOError from None
        return b"".join(parts)

    def send(self, data: bytes) -> int:
        """As much as the socket takes."""
        try:
            return self._connection.send(data)
        except ssl.SSLWantWriteError:
            raise BlockingIOError from None


def context(authority: Path) -> ssl.SSLContext:
    """A client's, which trusts this authority alone and speaks HTTP/2."""
    made = ssl.create_default_context(cafile=authority)
    made.set_alpn_protocols(["h2"])
    return made


def configured(folder: Path) -> tuple[Path, Path]:
    """The configuration of a broker with a certificate, and the authority's own certificate.

    Raises:
        CalledProcessError: `broker pki` failed.
    """
    home = folder / "pki"
    command = [sys.executable, "-m", "broker", "pki", "init", "--dir", str(home), "--host", _HOST]
    subprocess.run(command, check=True, capture_output=True)
    config = folder / "broker.toml"
    config.write_text(
        f'[tls]\ncertificate = "{home}/broker.pem"\nkey = "{home}/broker.key"\n'
        "require_client_certificate = false\n"
    )
    return config, home / "ca.pem"
