"""HOST:PORT, or unix:PATH, as they are written on a command line."""

import ipaddress
import re
from dataclasses import dataclass

from quartet.errors import SettingsError
from quartet.foreign import shown

_MAX_PORT = 65535
_MAX_PATH_BYTES = 107
_PORT = re.compile("[0-9]{1,5}")
_HOST = re.compile(r"[^\s\x00-\x1f\x7f/\[\]]+")


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address. An IPv6 host is kept without its brackets."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, name: str, example: str = "127.0.0.1:8061") -> "Address":
        """Read `HOST:PORT` or `[IPV6]:PORT`; SettingsError, with the setting's name, otherwise."""
        if "@" in text:  # which may follow a password: that is not repeated
            raise SettingsError(
                f"{name}: expected HOST:PORT, such as {example}, without a user or password"
            )
        if "://" in text:
            scheme = shown(text.partition("://")[0])
            raise SettingsError(
                f"{name}: expected HOST:PORT, such as {example}: leave out '{scheme}://'"
            )
        host, colon, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if bracketed:
            host = host[1:-1]
        if (
            not colon
            or not _HOST.fullmatch(host)
            or (":" in host and not bracketed)
            or not _PORT.fullmatch(port)
            or int(port) > _MAX_PORT
        ):
            raise SettingsError(
                f"{name}: expected HOST:PORT, such as {example}, got {shown(repr(text))}"
            )
        return cls(host, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether traffic to this address cannot leave the machine."""
        if self.host.lower().removesuffix(".") == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


UNIX = "unix:"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A socket in the file system."""

    path: str

    @property
    def is_loopback(self) -> bool:
        """Traffic to it never leaves the machine."""
        return True

    def __str__(self) -> str:
        return UNIX + self.path


Place = Address | UnixAddress
"""Where a server listens."""


def place(text: str, name: str) -> Place:
    """Read `HOST:PORT` or `unix:/PATH`; SettingsError, with the setting's name, otherwise."""
    if not text.startswith(UNIX):
        return Address.parse(text, name)
    path = text.removeprefix(UNIX)
    # The system takes no longer ones, and counts their bytes.
    if not path.startswith("/") or len(path.encode()) > _MAX_PATH_BYTES or "\0" in path:
        raise SettingsError(
            f"{name}: expected {UNIX} and an absolute path of at most {_MAX_PATH_BYTES} bytes,"
            f" such as unix:/run/broker/broker.sock, got {shown(repr(text))}"
        )
    return UnixAddress(path)
