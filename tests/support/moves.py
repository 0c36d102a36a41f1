"""Agents whose records move from a file to a database, or back."""

import asyncio
import io
from typing import NamedTuple

from support.chain import Chain
from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.read import Place
from support.store import OpenLines, header, sample, send_on

from broker.config import Store
from broker.move import Progress, move
from broker.recorder.opening import open_to_move
from broker.records import Claim, Lease

EVERY = 7


class Step(NamedTuple):
    """What happens to one agent."""

    what: str
    agent: str
    count: int = 1


class Talker(Chain):
    """Says now and then what it has become."""

    def explain(self) -> str | None:
        return self.state.hex() if self.state[1] < 64 else None


class Plant:
    """Agents that stream, wherever their records are."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.answers: list[tuple[str, int, bool]] = []
        self.next_id = dict.fromkeys("ab", 0)
        self._sessions = dict.fromkeys("ab", 0)

    async def live(self, place: Place, digest: str, rebased: str, steps: list[Step]) -> None:
        """A broker with this predictor serves for a while; first that of an agent is reset."""
        rebased = rebased if (rebased, 0) in {each[:2] for each in self.answers} else ""
        if rebased:
            await place.reader.command_rebase(rebased)
        async with place.lines(
            Talker, digest=digest, replay=30, clock=self.clock, snapshot_every=EVERY
        ) as lines:
            if rebased:
                await self._has_seen(lines, rebased)
            for step in steps:
                self.clock.advance(600.0)
                await self._take(lines, step)

    async def _has_seen(self, lines: OpenLines, agent: str) -> None:
        """Return when the broker knows that an agent's predictor is to be reset."""
        claim = Claim(header(agent=agent), "", Lease(1), None, has_records=True, keeps_state=True)
        async with asyncio.timeout(PATIENCE_S):
            while not lines.recorder.pending_rebase(claim):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.001)

    async def _take(self, lines: OpenLines, step: Step) -> None:
        what, agent, count = step
        if what == "session":
            self._sessions[agent] += 1
            self.next_id[agent] = 0
        if what == "gap":
            self.next_id[agent] += count
        first = max(0, self.next_id[agent] - 3) if what == "again" else self.next_id[agent]
        ids = range(first, first + count)
        opened = header(first, self._sessions[agent], agent, period_ns=10**7)
        with await lines.open(None if what == "plain" else opened) as stream:
            answers, refusal = await send_on(stream, [sample(id_) for id_ in ids])
        assert refusal is None
        if what != "plain":
            self.next_id[agent] = max(self.next_id[agent], first + count)
        self.answers += [(agent, each.id, each.prediction) for each in answers]


async def moved(source: Store, target: Store) -> Progress:
    progress = Progress(io.StringIO())
    async with open_to_move(source, target) as (whence, whither):
        await move(whence, whither, progress)
    return progress


async def served(place: Place, count: int = 20, agent: str = "a", digest: str = "d1") -> Plant:
    """An agent has streamed to a broker that has ended."""
    plant = Plant()
    await plant.live(place, digest, "", [Step("send", agent, count)])
    return plant
