"""The primary dies under load, and its standby is promoted."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos.fleet.configuration import DATABASE
from chaos.fleet.database import Pair
from support.patience import PATIENCE_S
from support.postgres import is_there
from support.store import header

from broker.errors import RecordError
from broker.model import Answer, Sample
from broker.recorder.postgres.keeping import FleetKeeping
from broker.recorder.postgres.recorder import PostgresRecorder
from broker.records import Batch

AGENTS = [f"a{number:02}" for number in range(20)]

_RECORDED = """
    SELECT agent_id, array_agg(id ORDER BY position), array_agg(position ORDER BY position)
    FROM samples JOIN lines USING (line) GROUP BY agent_id ORDER BY agent_id
"""


@pytest.fixture
def pair() -> Iterator[Pair]:
    if not is_there():
        pytest.skip("the Debian package postgresql is not installed")
    home = Path(tempfile.mkdtemp(prefix="quartet-pair-"))
    home.chmod(0o755)  # the servers belong to another user
    try:
        with Pair(home / "pair", mounts=False, lead=lambda *_: None).running() as pair:
            yield pair
    finally:
        shutil.rmtree(home)


class Load:
    """Agents that record without a pause, and claim their lines again whenever they lose them."""

    def __init__(self, recorder: PostgresRecorder) -> None:
        self._recorder = recorder
        self.answered = dict.fromkeys(AGENTS, 0)
        """The number of samples whose commit was told."""
        self.is_over = False

    async def reaches(self, count: int) -> None:
        """Return when each agent has so many answers."""
        async with asyncio.timeout(PATIENCE_S):
            while min(self.answered.values()) < count:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)

    async def stream(self, agent: str) -> None:
        """Be one of the agents, until it is over."""
        while not self.is_over:
            try:
                await self._open(agent)
            except RecordError:  # its commit was under way
                await asyncio.sleep(0.01)

    async def _open(self, agent: str) -> None:
        claim = await self._recorder.claim(header(self.answered[agent], agent=agent), "")
        next_id = 0 if claim.last_id is None else claim.last_id + 1
        assert next_id >= self.answered[agent]
        while not self.is_over:
            samples = [Sample(next_id + n, (0.0, 1.0, 2.0, 3.0)) for n in range(20)]
            answers = [Answer(each.id, each.id % 3 == 0) for each in samples]
            await self._recorder.record(Batch(claim, samples, answers))
            next_id += len(samples)
            self.answered[agent] = next_id


async def test_a_standby_that_is_promoted_under_load_has_all_that_was_answered(pair: Pair) -> None:
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in pair.servers)
    async with PostgresRecorder(
        f"postgresql://postgres@{hosts}/{DATABASE}", "d1", FleetKeeping()
    ) as recorder:
        load = Load(recorder)
        agents = [asyncio.create_task(load.stream(agent)) for agent in AGENTS]
        await load.reaches(200)
        await asyncio.to_thread(pair.kill_primary)
        await asyncio.to_thread(pair.promote)
        await load.reaches(max(load.answered.values()) + 200)
        load.is_over = True
        await asyncio.gather(*agents)
    rows = await asyncio.to_thread(pair.select, _RECORDED)
    counts = [load.answered[agent] for agent in AGENTS]
    assert rows == [
        (agent, [*range(count)], [*range(1, count + 1)])
        for agent, count in zip(AGENTS, counts, strict=True)
    ]
