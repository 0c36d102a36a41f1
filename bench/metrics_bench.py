"""What /metrics costs: a broker's answer of 2,000 rows, and an agent that is asked; prints tables.

The agent at 100 samples/s with and without, in turn: ratios in one run. It is asked each second,
which is more often than Prometheus asks.
"""

import argparse
import asyncio
import contextlib
import statistics
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator

from bench import figures, usage
from bench.child import Child, ChildError
from bench.figures import Figure
from broker.access import Access
from broker.config import LimitsSettings
from broker.lines import Lines
from broker.metering import Meter, MeteredRecorder
from broker.metrics import BrokerMetrics
from broker.model import Sample
from broker.predictors import BlackBox
from broker.predictors.limits import Limits
from broker.recorder.memory import MemoryRecorder
from wire.metadata import StreamHeader

_AGENTS = 1000
_RATE_HZ = 100
_WARM_UP_S = 5.0
_ASK_S = 1.0

# The most that each may be.
_MUST = {"answer, ms": 5.0, "CPU, ratio": 1.05, "memory, MB": 1.0}

_BROKER = ("broker", "run", "--listen", "127.0.0.1:0", "--predictor", "limits")
_AGENT = ("agent", "run", "--simulate", "dataset/sensors.csv", "--loop", "--rate", str(_RATE_HZ))
_METRICS = "bench/metrics.toml"

# A proxy of the environment knows nothing of this machine's loopback.
_ASKING = urllib.request.build_opener(urllib.request.ProxyHandler({}))


async def answer_ms(rounds: int) -> list[float]:
    """CPU time of the loop for each answer, with two rows for each of 1,000 agents."""
    meter = Meter()
    recorder = MeteredRecorder(MemoryRecorder(), meter)
    lines = Lines(BlackBox(Limits, ""), recorder)
    access = Access(None, LimitsSettings(), None)
    metrics = BrokerMetrics(meter, lines, access, recorder, credentials=None, store=None)
    for number in range(_AGENTS):
        header = StreamHeader(f"press-{number}", f"{number:032x}", 0, 1, 10**8)
        with await lines.open(header, "127.0.0.1:1", lambda _: None) as stream:
            await stream.answer([Sample(0, (0.1, 0.1, 0.1, 0.1))])
    took_ms = []
    for _ in range(rounds):
        began_s = time.thread_time()
        text = metrics.text().encode()
        took_ms.append((time.thread_time() - began_s) * 1e3)
    if text.count(b'agent="press-') != 2 * _AGENTS:
        raise ChildError("the answer does not have two rows for each agent")
    return took_ms


def agent_cost(seconds: float, *, is_asked: bool) -> tuple[float, float]:
    """CPU in us a sample, and RSS in MB, of an agent against a broker of its own. ChildError."""
    with Child(*_BROKER) as broker:
        more = ("--config", _METRICS) if is_asked else ()
        with Child(*_AGENT, *more, "--broker", broker.address()) as agent:
            agent.said("streaming to ")
            asking = _asked(agent.said("metrics on ")) if is_asked else contextlib.nullcontext()
            with asking:
                time.sleep(_WARM_UP_S)
                began_s, before_s = time.monotonic(), usage.cpu_s(agent.pid)
                time.sleep(seconds)
                samples = (time.monotonic() - began_s) * _RATE_HZ
                used_us = (usage.cpu_s(agent.pid) - before_s) / samples * 1e6
                return used_us, usage.resident_mb(agent.pid)


@contextlib.contextmanager
def _asked(url: str) -> Iterator[None]:
    """Ask again and again while entered."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(_ASK_S):
            with _ASKING.open(url, timeout=10) as answer:
                answer.read()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()


def main() -> int:
    """Measure both, and print their medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run: one pair of 3 s")
    figures.add_argument(parser)
    arguments = parser.parse_args()
    rounds, seconds = (1, 3.0) if arguments.quick else (5, 20.0)
    answers = asyncio.run(answer_ms(200))
    without, asked = [], []
    try:
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            without.append(agent_cost(seconds, is_asked=False))
            asked.append(agent_cost(seconds, is_asked=True))
    except ChildError as error:
        print(f"metrics_bench: {error}", file=sys.stderr)
        return 1
    ratios = [new[0] / old[0] for new, old in zip(asked, without, strict=True)]
    more_mb = [new[1] - old[1] for new, old in zip(asked, without, strict=True)]
    found = measured(answers, ratios, more_mb)
    for each in found:
        low, high = each.spread
        missed = f"  must be at most {_MUST[each.name]:g}" if each.value > _MUST[each.name] else ""
        print(f"{each.name:12}{each.value:8.2f} ({low:.2f} to {high:.2f}){missed}")
    print(f"the agent without: {statistics.median(cost for cost, _ in without):.0f} us a sample")
    figures.write(arguments.json, "metrics", found)
    return 0


def measured(answers: list[float], ratios: list[float], more_mb: list[float]) -> list[Figure]:
    """For --json."""
    return [
        *figures.figure("answer, ms", "ms", answers),
        *figures.figure("CPU, ratio", "to without", ratios),
        *figures.figure("memory, MB", "MB more", more_mb),
    ]


if __name__ == "__main__":
    sys.exit(main())
