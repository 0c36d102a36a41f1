"""Wrong passwords: after some, each further try must wait, longer each time."""

import ipaddress
import time
from collections import OrderedDict
from dataclasses import dataclass

from quartet.clock import Clock

_FIRST_S = 2.0

# So long no try is remembered.
_FORGET_S = 3600.0

# Whoever invents names or addresses fills this, and no more.
_MOST_KEYS = 3000


@dataclass(frozen=True, slots=True)
class _Rule:
    """When tries that have something in common must wait."""

    free: int
    most_s: float


# A person who looks for the right one of a few passwords is not delayed.
_OF_BOTH = _Rule(5, 300.0)

# Of any name: a proxy's address is that of many people.
_OF_ADDRESS = _Rule(20, 300.0)

# Of any address: whoever knows a name must not keep its user out.
_OF_NAME = _Rule(50, 10.0)

_Key = tuple[str, str, _Rule]


@dataclass(slots=True)
class _Tries:
    count: int
    last_s: float


class Attempts:
    """Counts by name and address, and by each. One thread; in memory, within bounds."""

    def __init__(self, clock: Clock = time) -> None:
        self._clock = clock
        self._tries: OrderedDict[_Key, _Tries] = OrderedDict()

    def __len__(self) -> int:
        """How many names and addresses are remembered."""
        return len(self._tries)

    def wait_s(self, name: str, address: str) -> float:
        """How long until the next try may be; 0: now."""
        return max(map(self._wait_s, _keys(name, address)))

    def begin(self, name: str, address: str) -> None:
        """Count a try, which is wrong unless `succeeded` follows: many may run at the same time."""
        now_s = self._clock.monotonic()
        for key in _keys(name, address):
            tries = self._tries.setdefault(key, _Tries(0, now_s))
            if now_s - tries.last_s > _FORGET_S:
                tries.count = 0
            tries.count += 1
            tries.last_s = now_s
            self._tries.move_to_end(key)
        while len(self._tries) > _MOST_KEYS:
            self._tries.popitem(last=False)

    def succeeded(self, name: str, address: str) -> None:
        """Forget the tries: the password was right."""
        for key in _keys(name, address):
            self._tries.pop(key, None)

    def _wait_s(self, key: _Key) -> float:
        tries, rule = self._tries.get(key), key[2]
        if tries is None or tries.count < rule.free:
            return 0.0
        delay_s = min(rule.most_s, _FIRST_S * 2.0 ** min(tries.count - rule.free, 30))
        return max(0.0, tries.last_s + delay_s - self._clock.monotonic())


def _keys(name: str, address: str) -> list[_Key]:
    name, address = name.casefold(), network(address)
    return [(name, address, _OF_BOTH), ("", address, _OF_ADDRESS), (name, "", _OF_NAME)]


def network(address: str) -> str:
    """An address; of IPv6 the network, in which one host has as many as it likes."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else address
