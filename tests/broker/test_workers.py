"""The pauses between slices on the loop, and what is settled in any case."""

import asyncio
import threading
from pathlib import Path

import pytest
from support.chain import Chain
from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.store import lines_in, send

from broker.workers import Inline, Threads, Workers


async def test_lines_that_come_back_together_do_not_wait_for_each_others_pauses(
    tmp_path: Path,
) -> None:
    agents = [f"a{number}" for number in range(20)]
    for first in (0, 5):
        inline = Inline(ManualClock(), pause_s=10 * PATIENCE_S)
        with lines_in(tmp_path / "broker.db", Chain, workers=inline) as lines:
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*(send(lines, [first], agent=agent) for agent in agents))


async def test_what_took_a_slice_is_followed_by_a_pause() -> None:
    clock = ManualClock()
    inline = Inline(clock, pause_s=PATIENCE_S)
    running = asyncio.create_task(inline.run_aside(lambda: clock.advance(1.0)))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


# One suite for both kinds of workers


@pytest.fixture(params=["inline", "threads"])
def workers(request: pytest.FixtureRequest) -> Workers:
    return Inline() if request.param == "inline" else Threads(2)


async def test_a_call_gives_its_result_and_settles_it_on_the_loop(workers: Workers) -> None:
    settled: list[tuple[int | None, str]] = []

    def settle(result: int | None) -> None:
        settled.append((result, threading.current_thread().name))

    assert await workers.run(lambda: 42, settle, "") == 42
    assert settled == [(42, threading.main_thread().name)]
    assert await workers.run_aside(lambda: 43) == 43


@pytest.mark.parametrize("error", [ValueError, KeyError])
async def test_a_call_that_raises_settles_without_a_result(
    workers: Workers, error: type[Exception]
) -> None:
    settled: list[int | None] = []

    def fail() -> int:
        raise error("no")

    with pytest.raises(error):
        await workers.run(fail, settled.append, "")
    assert settled == [None]
    with pytest.raises(error):
        await workers.run_aside(fail)


async def test_a_call_whose_caller_is_cancelled_is_settled_when_it_ends() -> None:
    begun, ended = threading.Event(), threading.Event()
    settled = asyncio.get_running_loop().create_future()

    def work() -> str:
        begun.set()
        assert ended.wait(PATIENCE_S)
        return "done"

    calling = asyncio.create_task(Threads(1).run(work, settled.set_result, ""))
    assert await asyncio.to_thread(begun.wait, PATIENCE_S)
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    assert not settled.done()
    ended.set()
    assert await asyncio.wait_for(settled, PATIENCE_S) == "done"
