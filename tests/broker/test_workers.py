"""The pauses between slices on the loop."""

import asyncio
import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.chain import Chain
from support.store import lines_in, send

from broker.workers import Inline

# A wait that fails says so before pytest's own limit.
PATIENCE_S = 10.0


async def test_lines_that_come_back_together_do_not_wait_for_each_others_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = [f"a{number}" for number in range(20)]
    for first in (0, 5):
        with lines_in(tmp_path / "broker.db", Chain) as lines, monkeypatch.context() as patch:
            patch.setattr("broker.workers._PAUSE_S", 10 * PATIENCE_S)
            patch.setattr("broker.workers.time", SimpleNamespace(monotonic=lambda: 0.0))
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*(send(lines, [first], agent=agent) for agent in agents))


async def test_what_took_a_slice_is_followed_by_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr("broker.workers._PAUSE_S", PATIENCE_S)
    monkeypatch.setattr("broker.workers.time", SimpleNamespace(monotonic=lambda: next(ticks)))
    running = asyncio.create_task(Inline().run(lambda: None))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
