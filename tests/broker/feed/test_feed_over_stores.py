"""A feed over a real store of each kind, beside the broker that writes to it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from support.clock import ManualClock
from support.store import OpenLines, header, sample, send_on
from support.stores import lines_of

from broker.config import Store
from broker.feed import Feed, Kind
from broker.model import Sample
from broker.recorder.opening import open_reader

REASON = "alarm: T2 is 30, its limit 22: sensor2 74%, sensor1 26%"

NewStore = Callable[[], Awaitable[Store]]


class High:
    """True from id 10 to 12, and from 100 on."""

    def predict(self, told: Sample) -> bool:
        self._said = REASON if told.id in (10, 100) else None
        return 10 <= told.id <= 12 or told.id >= 100

    def explain(self) -> str | None:
        return self._said


@pytest.fixture(params=["file", "database"])
async def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[NewStore]:
    """Makes an empty store of each kind."""
    made = 0
    async with AsyncExitStack() as undo:

        async def new_file() -> Path:
            nonlocal made
            made += 1
            return tmp_path / f"{made}.db"

        async def new_database() -> Any:
            server = request.getfixturevalue("postgres")
            database = await server.create()
            undo.push_async_callback(database.drop)
            return database.url

        yield new_file if request.param == "file" else new_database


async def send(lines: OpenLines, *ids: int, agent: str = "a") -> None:
    at_ns = (1_750_000_000 + ids[0]) * 10**9
    opened = header(ids[0], ids[0], agent, at_ns=at_ns, period_ns=10**9)
    with await lines.open(opened) as stream:
        await send_on(stream, [sample(id_) for id_ in ids])


async def kinds(feed: Feed, clock: ManualClock) -> list[tuple[Kind, str]]:
    clock.advance(1.0)
    return [(each.kind, each.reason) for each in (await feed.look()).events]


async def test_alarms_are_followed_also_by_who_continues_at_a_mark(new_store: NewStore) -> None:
    store, clock = await new_store(), ManualClock()
    async with lines_of(store, High, clock=clock) as lines:
        await send(lines, 1, 2)
        feed = Feed(open_reader(store), clock=clock)
        assert await kinds(feed, clock) == []
        await send(lines, 10, 11)
        assert await kinds(feed, clock) == [(Kind.ALARM_BEGUN, REASON)]
        feed = Feed(open_reader(store), feed.mark(), clock)
        assert await kinds(feed, clock) == []
        await send(lines, *range(12, 30))
        assert await kinds(feed, clock) == [(Kind.ALARM_ENDED, "")]
        await send(lines, 100)
        assert await kinds(feed, clock) == [(Kind.ALARM_BEGUN, REASON)]


async def test_who_continues_in_another_store_tells_what_is_there(new_store: NewStore) -> None:
    first, second, clock = await new_store(), await new_store(), ManualClock()
    async with lines_of(first, High, clock=clock) as lines:
        await send(lines, 1, 2, 10, agent="a")
        await send(lines, 1, 2, agent="b")
        feed = Feed(open_reader(first), clock=clock)
        assert [kind for kind, _ in await kinds(feed, clock)] == [Kind.ALARM_BEGUN]
        await send(lines, 11, agent="a")
        assert await kinds(feed, clock) == []
    async with lines_of(second, High, clock=clock) as lines:
        await send(lines, 1, agent="a")
        await send(lines, 1, 10, agent="b")
        feed = Feed(open_reader(second), feed.mark(), clock)
        clock.advance(1.0)
        seen = await feed.look()
        found = {(each.kind, each.agent_id) for each in seen.events}
        assert found == {(Kind.ALARM_ENDED, "a"), (Kind.ALARM_BEGUN, "b")}
        assert set(seen.lines) == {"a", "b"}
