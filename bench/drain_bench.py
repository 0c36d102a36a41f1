"""A live agent beside one that drains a long outage; prints one table."""

import argparse
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench import backlog, figures, usage
from bench.child import Child, ChildError

_BROKER = ("broker", "run", "--listen", "127.0.0.1:0")
_SIMULATE = ("agent", "run", "--simulate", "dataset/sensors.csv")
_LIVE_HZ = 50
# How often memory is looked at.
_LOOK_S = 1.0


def live_ms(printed: str) -> tuple[float, float]:
    """The median and the p99 of an agent's round trips, from its summary.

    Raises:
        ChildError: it printed none.
    """
    found = re.search(r"round trip +p50 ([\d.]+) ms, p99 ([\d.]+) ms", printed)
    if not found:
        raise ChildError(f"the live agent printed no round trips; its end: {printed[-200:]!r}")
    return float(found[1]), float(found[2])


def agent(home: Path, name: str, address: str, *arguments: str) -> Child:
    """An agent with a spool of its own, which logs changes alone."""
    config = home / f"{name}.toml"
    for tier in ("hot", "cold"):
        (home / f"{name}-{tier}").mkdir(exist_ok=True)
    config.write_text(
        f'[agent]\nid = "{name}"\n[journal]\npredictions = "changes"\n[spool]\n'
        f'hot_directory = "{home}/{name}-hot"\ndirectory = "{home}/{name}-cold"\n'
    )
    return Child(*_SIMULATE, "--config", str(config), "--broker", address, *arguments)


def measure(home: Path, count: int, alone_s: float) -> tuple[str, list[figures.Figure]]:
    """The live agent alone, and beside a drain of `count` samples; the table and the figures.

    Raises:
        ChildError: a process failed.
    """
    live = ("live", "--loop", "--rate", str(_LIVE_HZ))
    with Child(*_BROKER, "--store", str(home / "broker.db")) as broker:
        name, *arguments = live
        address = broker.address()
        with agent(home, name, address, *arguments) as child:
            time.sleep(alone_s)
            alone = live_ms(child.stop())
        (home / "drain-cold").mkdir()
        backlog.fill(home / "drain-cold", count)
        memory_mb: list[tuple[float, float]] = []
        began_s = time.monotonic()
        with (
            agent(home, name, address, *arguments) as child,
            agent(home, "drain", address, "--rate", "max") as drain,
        ):
            while drain.running:
                memory_mb.append((usage.resident_mb(drain.pid), usage.resident_mb(broker.pid)))
                time.sleep(_LOOK_S)
            drain.finish(_LOOK_S)
            drained_s = time.monotonic() - began_s
            beside = live_ms(child.stop())
    early, late = memory_mb[len(memory_mb) // 4], memory_mb[-1]
    found = figures.figure("drain", "samples/s", [count / drained_s])
    for what, one, other in (("p50", alone[0], beside[0]), ("p99", alone[1], beside[1])):
        found += figures.figure(f"live agent beside a drain, {what}", "ms", [other], [one])
    for what, one, other in (("agent", early[0], late[0]), ("broker", early[1], late[1])):
        found += figures.figure(f"memory of the draining {what} at its end", "MB", [other], [one])
    text = "\n".join(
        [
            f"{count} samples drained at {count / drained_s:.0f}/s",
            f"{'live agent':24}{'p50 ms':>9}{'p99 ms':>9}",
            f"{'alone':24}{alone[0]:9.2f}{alone[1]:9.2f}",
            f"{'beside the drain':24}{beside[0]:9.2f}{beside[1]:9.2f}",
            f"{'ratio':24}{beside[0] / alone[0]:9.2f}{beside[1] / alone[1]:9.2f}",
            f"{'memory, MB':24}{'early':>9}{'at end':>9}",
            f"{'draining agent':24}{early[0]:9.1f}{late[0]:9.1f}",
            f"{'broker':24}{early[1]:9.1f}{late[1]:9.1f}",
        ]
    )
    return text, found


def main() -> int:
    """Measure once; 1 if a process failed, 130 if interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run: a short outage")
    figures.add_argument(parser)
    arguments = parser.parse_args()
    count, alone_s = (20_000, 3.0) if arguments.quick else (1_000_000, 20.0)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory() as home:
            text, found = measure(Path(home), count, alone_s)
    except ChildError as error:
        print(f"drain_bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(text)
    figures.write(arguments.json, "drain", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
