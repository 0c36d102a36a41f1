"""A broker without a wire, for the console: python -m bench.fleet STORE --agents 1000 --rate 1.

It holds the store as a broker does, and its agents record what they make up, now. Each line on
standard input is a verb and agents: fault, mend, freeze, thaw. It ends with its input, or at
SIGTERM.
"""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.machine import DIGEST, KEEPING, SENSORS, Machine
from broker.recorder.sqlite.recorder import SqliteRecorder
from broker.records import Batch, Claim, Opened
from wire.metadata import StreamHeader

_S_NS = 10**9
# Few wake-ups, and still no step that an eye sees in a line of a minute.
_TICK_S = 0.1


@dataclass(slots=True)
class _Agent:
    claim: Claim
    machine: Machine
    header: StreamHeader
    next_id: int = 0
    skipped: int = 0
    faulty: bool = False
    frozen: bool = False

    def batch(self, now_ns: int) -> Batch:
        """What it has measured since the last call. Readings of a frozen agent are missing."""
        batch = Batch(self.claim, opened=None if self.next_id else Opened())
        while (at_ns := self.header.sampled_at_ns(self.next_id)) <= now_ns:
            if self.frozen:
                self.skipped += 1
            else:
                if self.skipped:
                    jumped = self.next_id - self.skipped, self.next_id - 1
                    batch.gaps = [*batch.gaps, jumped]
                    self.skipped = 0
                self.machine.add(batch, self.next_id, at_ns, faulty=self.faulty)
            self.next_id += 1
        return batch


class Fleet:
    """The agents, by name."""

    def __init__(self, recorder: SqliteRecorder) -> None:
        self._recorder = recorder
        self._agents: dict[str, _Agent] = {}

    async def admit(self, names: Sequence[str], rate_hz: float) -> None:
        """Take up the agents, whose readings are spread over their period."""
        period_ns, now_ns = round(_S_NS / rate_hz), time.time_ns()
        headers = [
            StreamHeader(
                name,
                session_id=f"{now_ns + number:032x}",
                first_id=0,
                first_sampled_at_ns=now_ns + number * period_ns // len(names),
                sample_period_ns=period_ns,
                sensors=SENSORS,
            )
            for number, name in enumerate(names)
        ]
        # All at once: each alone would wait for a commit.
        claiming = (self._recorder.claim(header, "127.0.0.1:40000") for header in headers)
        claims = await asyncio.gather(*claiming)
        for number, (claim, header) in enumerate(zip(claims, headers, strict=True)):
            self._agents[header.agent_id] = _Agent(claim, Machine(number), header)

    def obey(self, line: str) -> None:
        """Do what a line says to the agents that it names."""
        verb, *names = line.split()
        for name in names:
            agent = self._agents[name]
            match verb:
                case "fault" | "mend":
                    agent.faulty = verb == "fault"
                case "freeze" | "thaw":
                    agent.frozen = verb == "freeze"
                case _:
                    raise ValueError(f"{verb}: say fault, mend, freeze or thaw")

    async def run(self) -> None:
        """Record, until cancelled."""
        while True:
            now_ns = time.time_ns()
            for agent in self._agents.values():
                if batch := agent.batch(now_ns):
                    self._recorder.record(batch)
            await asyncio.sleep(_TICK_S)


async def _main(store: Path, names: Sequence[str], rate_hz: float) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    with SqliteRecorder(store, DIGEST, KEEPING) as recorder:
        fleet = Fleet(recorder)
        await fleet.admit(names, rate_hz)
        orders = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
        running = asyncio.create_task(fleet.run())
        listening = asyncio.create_task(_listen(orders, fleet))
        print(f"recording {len(names)} agents", file=sys.stderr, flush=True)
        waiting = [running, listening, asyncio.create_task(ended.wait())]
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        for task in done:
            task.result()


async def _listen(orders: asyncio.StreamReader, fleet: Fleet) -> None:
    while line := await orders.readline():
        fleet.obey(line.decode())


def main() -> None:
    """Record until the end."""
    parser = argparse.ArgumentParser(prog="bench.fleet", description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--agents", type=int, default=40)
    parser.add_argument("--rate", type=float, default=1.0, help="samples per second of each")
    parser.add_argument("--names", nargs="*", default=(), help="instead of press-1, press-2 ...")
    arguments = parser.parse_args()
    names = arguments.names or [f"press-{number + 1}" for number in range(arguments.agents)]
    asyncio.run(_main(arguments.store, names, arguments.rate))


if __name__ == "__main__":
    main()
