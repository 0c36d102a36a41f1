"""The agent's own cost beside a plain client's, at 10 and 100 samples/s; prints tables.

The agent runs with all that a device has: the spool with its RAM tier in RAM, and an entry for each
prediction, in journald where one listens (`sh tests/support/journald.sh` starts one), otherwise as
lines. Predictions change seldom, as on a machine that runs. Both clients are measured in turn
against a broker of their own, as ratios in one run.
"""

import argparse
import contextlib
import dataclasses
import importlib.util
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import figures, usage
from bench.child import Child, ChildError
from bench.figures import Figure

_RATES_HZ = (10, 100)
# Imports, the connection and the first samples are not what a device pays for years. gRPC's idle
# threads look for work less and less often: after some 12 s every 3 s.
_WARM_UP_S = 12.0
_PLAIN = ("bench.plain_client",)
_BROKER = ("broker", "run", "--listen", "127.0.0.1:0", "--predictor", "limits")
_RAM = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in it
_JOURNALD = Path("/run/systemd/journal/socket")
_STREAMS = "streaming to "

# The most that the agent may take: as ratios to the plain client, per sample, in MB and in s.
_MUST = {"cpu": 1.4, "wake-ups": 8.0, "rss": 45.0, "start": 1.0}


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """What one client used."""

    cpu_us: float  # a sample
    wake_ups: float  # a sample, of all threads
    rss_mb: float
    answers_per_s: float  # over the whole run, its start included


def measure(client: tuple[str, ...], rate_hz: int, seconds: float) -> Cost:
    """Run a client against a fresh broker.

    Raises:
        ChildError: either of them failed.
    """
    with Child(*_BROKER) as broker:
        address = broker.address()
        started_s = time.monotonic()
        with Child(*client, "--rate", str(rate_hz), "--broker", address) as child:
            time.sleep(_WARM_UP_S)
            before = time.monotonic(), _cpu_s(child.pid), _wake_ups(child.pid)
            time.sleep(seconds)
            after = time.monotonic(), _cpu_s(child.pid), _wake_ups(child.pid)
            past_s, cpu_s, wake_ups = (new - old for new, old in zip(after, before, strict=True))
            samples = past_s * rate_hz
            rss_mb = usage.resident_mb(child.pid)
            run_s = time.monotonic() - started_s
            answers = _answers(child.stop()) / run_s
            return Cost(cpu_s / samples * 1e6, wake_ups / samples, rss_mb, answers)


def start_s() -> float:
    """The seconds from an agent's start to its first answer. ChildError."""
    with Child(*_BROKER) as broker, _agent(journal=False) as agent:
        address = broker.address()
        began_s = time.monotonic()
        with Child(*agent, "--broker", address) as child:
            child.said(_STREAMS)
            return time.monotonic() - began_s


def _cpu_s(pid: int) -> float:
    """User and system time of all threads; finer than /proc tells (clock_getcpuclockid(3))."""
    return time.clock_gettime(~pid << 3 | 2)


def _wake_ups(pid: int) -> int:
    """How often the threads that live have waited for something."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            for line in (task / "status").read_text("ascii", "replace").splitlines():
                if line.startswith("voluntary_ctxt_switches:"):
                    total += int(line.split()[1])
    return total


def _answers(printed: str) -> int:
    """Both clients end with a line `predictions NUMBER ...`."""
    for line in reversed(printed.splitlines()):
        match line.split():
            case ["predictions", number, *_]:
                return int(number)
    raise ChildError(f"the client printed no count of predictions; its end: {printed[-200:]!r}")


@contextlib.contextmanager
def _agent(*, journal: bool) -> Iterator[tuple[str, ...]]:
    """The command of an agent with a spool as on a device, whose files end with it."""
    in_ram = _RAM if _RAM.is_dir() else None
    with (
        tempfile.TemporaryDirectory(dir=in_ram) as hot,
        tempfile.TemporaryDirectory() as cold,
        tempfile.NamedTemporaryFile("w", suffix=".toml") as config,
    ):
        config.write(f'[spool]\nhot_directory = "{hot}"\ndirectory = "{cold}"\n')
        config.flush()
        simulated = ("--simulate", "dataset/sensors.csv", "--loop")
        log = ("--journal",) if journal else ()
        yield ("agent", "run", "--config", config.name, *simulated, *log)


def _has_journald() -> bool:
    return _JOURNALD.exists() and importlib.util.find_spec("systemd") is not None


def middle(costs: list[Cost]) -> Cost:
    """The medians of all rounds."""
    columns = zip(*map(dataclasses.astuple, costs), strict=True)
    return Cost(*map(statistics.median, columns))


def ratios(costs: dict[str, list[Cost]]) -> list[float]:
    """The agent's CPU as a ratio to the plain client's beside it, of each round."""
    pairs = zip(costs["agent"], costs["plain client"], strict=True)
    return [agent.cpu_us / plain.cpu_us for agent, plain in pairs]


def table(rate_hz: int, costs: dict[str, list[Cost]]) -> str:
    """Medians of all rounds, and the agent's figures against what they must be."""
    head = ("us a sample", "wake-ups a sample", "RSS MB", "answers/s")
    lines = [f"{rate_hz:4} samples/s{'':4}" + "".join(f"{each:>19}" for each in head)]
    for name, of in costs.items():
        cells = dataclasses.astuple(middle(of))
        lines.append(f"{name:18}" + "".join(f"{cell:>19.2f}" for cell in cells))
    spread = ratios(costs)
    ratio = statistics.median(spread)
    lines.append(f"CPU, as a ratio: {ratio:.2f} ({min(spread):.2f} to {max(spread):.2f})")
    agent = middle(costs["agent"])
    reached = {"cpu": ratio, "wake-ups": agent.wake_ups, "rss": agent.rss_mb}
    lines += [_missed(name, figure) for name, figure in reached.items() if figure > _MUST[name]]
    return "\n".join(lines)


def _missed(name: str, figure: float) -> str:
    return f"  {name}: {figure:.2f}, must be at most {_MUST[name]:g}"


def main() -> int:
    """Measure both clients in turn; 1 if one failed, 130 if interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="of each client at each rate")
    parser.add_argument("--quick", action="store_true", help="a smoke run: 1 round of 2 s")
    figures.add_argument(parser)
    arguments = parser.parse_args()
    rounds, seconds = (1, 2.0) if arguments.quick else (arguments.rounds, arguments.seconds)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    found: dict[int, dict[str, list[Cost]]] = {}
    try:
        for rate_hz in _RATES_HZ:
            costs = found[rate_hz] = {"agent": [], "plain client": []}
            for number in range(rounds):
                print(f"{rate_hz}/s, round {number + 1} of {rounds}", file=sys.stderr)
                with _agent(journal=_has_journald()) as agent:
                    costs["agent"].append(measure(agent, rate_hz, seconds))
                costs["plain client"].append(measure(_PLAIN, rate_hz, seconds))
        starts_s = [start_s() for _ in range(rounds)]
    except ChildError as error:
        print(f"agent_bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    start = statistics.median(starts_s)
    where = "in journald" if _has_journald() else "as lines, because no journald listens"
    print(f"medians of {rounds} rounds of {seconds:.0f} s; each prediction is logged {where}")
    print("\n\n".join(table(rate_hz, costs) for rate_hz, costs in found.items()))
    print(f"\nfrom the start to the first answer: {start:.2f} s")
    if start > _MUST["start"]:
        print(_missed("start", start))
    figures.write(arguments.json, "agent", measured(found, starts_s))
    return 0


def measured(found: dict[int, dict[str, list[Cost]]], starts_s: list[float]) -> list[Figure]:
    """For --json, with ratios to the plain client."""
    made = []
    for rate_hz, costs in found.items():
        for name, of in costs.items():
            for what, unit, field in (
                ("CPU", "us a sample", "cpu_us"),
                ("wake-ups", "a sample", "wake_ups"),
                ("memory", "MB", "rss_mb"),
            ):
                rounds, plain = (
                    [getattr(cost, field) for cost in each] for each in (of, costs["plain client"])
                )
                made += figures.figure(f"{rate_hz}/s, {name}, {what}", unit, rounds, plain)
        made += figures.figure(f"{rate_hz}/s, agent, CPU to the plain client's", "", ratios(costs))
    return made + figures.figure("from the start to the first answer", "s", starts_s)


if __name__ == "__main__":
    sys.exit(main())
