"""A console with what stands behind it, as processes: each on a port of its own."""

from collections.abc import Mapping
from pathlib import Path

from support.ports import listens
from support.processes import Broker, Running

from broker.config import Store


class Console(Running):
    """`broker console` on a free port, or on one that a former console had."""

    def __init__(
        self,
        store: Store,
        *arguments: str,
        port: int = 0,
        env: Mapping[str, str] | None = None,
        scheme: str = "http",
    ) -> None:
        where = ["--store", str(store), "--listen", f"127.0.0.1:{port}"]
        super().__init__(["broker", "console", *where, *arguments], env)
        try:
            found = self.wait_for_output(rf"broker console: ({scheme}://127\.0\.0\.1:(\d+)/)")
            self.url, self.port = found[1], int(found[2])
            assert listens(self.pid, self.port), f"{self.url} is a stranger's"
        except BaseException:
            self.__exit__()
            raise


class Fleet(Running):
    """Agents and their broker in one process, told what to do: see bench/fleet.py."""

    def __init__(self, store: Path, *arguments: str) -> None:
        super().__init__(["bench.fleet", str(store), *arguments], told=True)
        try:
            self.wait_for(r"^recording \d+ agents")
        except BaseException:
            self.__exit__()
            raise


def own(broker: Broker) -> Broker:
    """A broker, once it is certain that it is ours that listens on its port."""
    assert listens(broker.pid, broker.port), f"{broker.address} is a stranger's"
    return broker
