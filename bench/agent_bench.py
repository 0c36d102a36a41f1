"""The agent's own cost at 200 samples/s, beside a plain client's; prints one table."""

import argparse
import dataclasses
import signal
import statistics
import sys
import time

from bench import usage
from bench.child import Child, ChildError

# The most that four channels of one ADS1115 give: 215 rows/s at best.
_RATE_HZ = 200
# Imports, the connection and the first samples are not what a device pays for years.
_WARM_UP_S = 2.0
_CLIENTS = {
    "agent": ("agent", "run", "--simulate", "dataset/sensors.csv", "--loop"),
    "plain client": ("bench.plain_client",),
}
_BROKER = ("broker", "run", "--listen", "127.0.0.1:0", "--predictor", "parity")


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """What one client used."""

    core_share: float  # of one core, 0 to 1
    rss_mb: float
    peak_mb: float
    answers_per_s: float  # over the whole run, its start included


def measure(client: tuple[str, ...], seconds: float) -> Cost:
    """Run a client against a fresh broker.

    Raises:
        ChildError: either of them failed.
    """
    with Child(*_BROKER) as broker:
        address = broker.address()
        started_s = time.monotonic()
        with Child(*client, "--rate", str(_RATE_HZ), "--broker", address) as child:
            time.sleep(_WARM_UP_S)
            before_s, before_cpu_s = time.monotonic(), usage.cpu_s(child.pid)
            time.sleep(seconds)
            core_share = (usage.cpu_s(child.pid) - before_cpu_s) / (time.monotonic() - before_s)
            rss_mb = usage.resident_mb(child.pid)
            peak_mb = usage.resident_mb(child.pid, "VmHWM")
            run_s = time.monotonic() - started_s
            return Cost(core_share, rss_mb, peak_mb, _answers(child.stop()) / run_s)


def _answers(printed: str) -> int:
    """Both clients end with a line `predictions NUMBER ...`."""
    for line in reversed(printed.splitlines()):
        match line.split():
            case ["predictions", number, *_]:
                return int(number)
    raise ChildError(f"the client printed no count of predictions; its end: {printed[-200:]!r}")


def table(costs: dict[str, list[Cost]]) -> str:
    """Medians of all rounds, and the ratio of each to the plain client's."""
    head = f"{'':14}{'% of a core':>12}{'RSS MB':>9}{'peak MB':>9}{'answers/s':>11}"
    lines = [head]
    middle = {
        name: [
            statistics.median(column) for column in zip(*map(dataclasses.astuple, of), strict=True)
        ]
        for name, of in costs.items()
    }
    for name, (core_share, rss_mb, peak_mb, answers_per_s) in middle.items():
        lines.append(f"{name:14}{core_share:12.1%}{rss_mb:9.1f}{peak_mb:9.1f}{answers_per_s:11.1f}")
    ratios = [ours / plain for ours, plain in zip(*middle.values(), strict=True)]
    lines.append(f"{'ratio':14}{ratios[0]:12.2f}{ratios[1]:9.2f}{ratios[2]:9.2f}{ratios[3]:11.2f}")
    return "\n".join(lines)


def main() -> int:
    """Measure both clients in turn; 1 if one failed, 130 if interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="a smoke run: 1 round of 2 s")
    arguments = parser.parse_args()
    rounds, seconds = (1, 2.0) if arguments.quick else (3, arguments.seconds)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    costs: dict[str, list[Cost]] = {name: [] for name in _CLIENTS}
    try:
        for number in range(rounds):
            for name, client in _CLIENTS.items():
                print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr)
                costs[name].append(measure(client, seconds))
    except ChildError as error:
        print(f"agent_bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"{_RATE_HZ} samples/s, median of {rounds} rounds of {seconds:.0f} s")
    print(table(costs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
