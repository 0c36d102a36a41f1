"""How many agents that were never seen may come from one host in a minute."""

import ipaddress
import time
from collections import OrderedDict

from quartet.clock import Clock

_MINUTE_S = 60.0

# Of a network that can have more addresses than these, no count of hosts is a bound.
_MOST_HOSTS = 10_000

# What one customer of a provider has at the least, and chooses addresses from.
_IPV6_PREFIX = 64


class Newcomers:
    """Counts new agents by host, for a minute from the first one on. One thread at a time."""

    def __init__(self, clock: Clock = time, *, most_hosts: int = _MOST_HOSTS) -> None:
        self._clock = clock
        self._most_hosts = most_hosts
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def add(self, host: str, most: int) -> bool:
        """Count one of a host, unless it had `most` of them within a minute; whether it had not."""
        now_s = self._clock.monotonic()
        since_s, count = self._counts.get(host, (now_s, 0))
        if now_s - since_s >= _MINUTE_S:
            since_s, count = now_s, 0
        if count >= most:
            return False
        self._counts[host] = since_s, count + 1
        self._counts.move_to_end(host)
        if len(self._counts) > self._most_hosts:
            self._counts.popitem(last=False)
        return True


def host_of(address: str) -> str:
    """The host of HOST:PORT; of IPv6 its network of 64 bits, which is one host's."""
    host = address.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return host or address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((ip, _IPV6_PREFIX), strict=False))
