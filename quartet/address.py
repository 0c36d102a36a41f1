"""HOST:PORT, as it is written on a command line."""

import ipaddress
import re
from dataclasses import dataclass

from quartet.errors import SettingsError
from quartet.foreign import shown

_MAX_PORT = 65535
_PORT = re.compile("[0-9]{1,5}")
_HOST = re.compile(r"[^\s\x00-\x1f\x7f/\[\]]+")


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address. An IPv6 host is kept without its brackets."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, name: str) -> "Address":
        """Read `HOST:PORT` or `[IPV6]:PORT`; SettingsError, with the setting's name, otherwise."""
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
                f"{name}: expected HOST:PORT, such as 127.0.0.1:8061, got {shown(repr(text))}"
            )
        return cls(host, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether traffic to this address cannot leave the machine."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
