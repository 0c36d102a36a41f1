"""Makes a store with weeks of history: python -m bench.history STORE --days 30.

The samples go through the real recorder, whose clock is told the past. The first agent is fast
and all others are slow. Each has alarms of five minutes, and the first one a single high sample.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.machine import DIGEST, KEEPING, SENSORS, Machine
from broker.recorder.sqlite.recorder import SqliteRecorder
from broker.records import Batch, Claim, Opened
from wire.metadata import StreamHeader

DAY_S = 86_400
PEAK = 9.0
PEAK_CHANNEL = 2

_S_NS = 10**9
# So much of each agent goes into one batch: few batches, and delays that are no outage.
_BATCH_S = 600
_ALARM_S = 300
# Between two alarms of one agent: no whole number of days.
_ALARM_EVERY_S = 61 * 3600
# Between the alarms of two agents.
_SHIFT_S = 3701


@dataclass(frozen=True, slots=True)
class Plan:
    """Which agents there are, and how long they have been sampling."""

    days: float = 30.0
    rate_hz: float = 10.0
    others: int = 39
    others_period_s: float = 100.0

    def agents(self) -> Iterator[tuple[str, int]]:
        """Name and period in ns of each."""
        yield "press-1", round(_S_NS / self.rate_hz)
        for number in range(2, self.others + 2):
            yield f"press-{number}", round(self.others_period_s * _S_NS)

    def peak_at_ns(self, end_ns: int) -> int:
        """When the single high sample of the first agent was taken, to its period."""
        return end_ns - round(self.days * DAY_S * 0.4) * _S_NS


class _Past:
    """A clock for the recorder, which shows what it is told. Durations are real."""

    monotonic = staticmethod(time.monotonic)
    monotonic_ns = staticmethod(time.monotonic_ns)

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns

    def time_ns(self) -> int:
        return self.now_ns


class _Track:
    """One agent's way through the past."""

    def __init__(self, claim: Claim, number: int, header: StreamHeader) -> None:
        self.claim = claim
        self._machine = Machine(number)
        self._header = header
        self._shift_s = number * _SHIFT_S
        self._next_id = 0

    def batch(self, until_ns: int, peak_at_ns: int | None) -> Batch:
        """What it sampled up to a time."""
        batch = Batch(self.claim, opened=None if self._next_id else Opened())
        begin_ns, period_ns = self._header.first_sampled_at_ns, self._header.sample_period_ns
        peak_id = None if peak_at_ns is None else (peak_at_ns - begin_ns) // period_ns
        while (at_ns := begin_ns + self._next_id * period_ns) < until_ns:
            faulty = (at_ns // _S_NS + self._shift_s) % _ALARM_EVERY_S < _ALARM_S
            other = (PEAK_CHANNEL, PEAK) if self._next_id == peak_id else None
            self._machine.add(batch, self._next_id, at_ns, faulty=faulty, other=other)
            self._next_id += 1
        return batch


async def feed(path: Path, plan: Plan, end_ns: int) -> int:
    """Fill a new store with what the plan's agents sampled until then; how many samples."""
    begin_ns = end_ns - round(plan.days * DAY_S) * _S_NS
    clock = _Past(begin_ns)
    count = 0
    with SqliteRecorder(path, DIGEST, KEEPING, clock) as recorder:
        tracks = []
        for number, (agent_id, period_ns) in enumerate(plan.agents()):
            session_id = f"{number:032x}"
            header = StreamHeader(agent_id, session_id, 0, begin_ns, period_ns, sensors=SENSORS)
            claim = await recorder.claim(header, "127.0.0.1:40000")
            tracks.append(_Track(claim, number, header))
        while clock.now_ns < end_ns:
            clock.now_ns = min(clock.now_ns + _BATCH_S * _S_NS, end_ns)
            for number, track in enumerate(tracks):
                batch = track.batch(clock.now_ns, None if number else plan.peak_at_ns(end_ns))
                count += len(batch.samples)
                if batch:
                    committed = recorder.record(batch)
            await committed
        for track in tracks:
            recorder.release(track.claim)
    return count


def main() -> int:
    """Fill the store, and say how long that took."""
    parser = argparse.ArgumentParser(prog="bench.history", description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--days", type=float, default=30.0)
    arguments = parser.parse_args()
    store: Path = arguments.store
    if store.exists():
        print(f"{store} exists: name a file that does not", file=sys.stderr)
        return 2
    begin_s = time.monotonic()
    count = asyncio.run(feed(store, Plan(days=arguments.days), time.time_ns()))
    print(f"{count} samples in {time.monotonic() - begin_s:.0f} s: {store}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
