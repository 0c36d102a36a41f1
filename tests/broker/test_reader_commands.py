"""What people ask a broker to do through its store, and who waits for that."""

import asyncio

import pytest
from support.patience import PATIENCE_S
from support.read import Place, Site
from support.store import change, header, sample, send_on

from broker.errors import CommandError
from broker.rebase import reset
from broker.recorder.reader import PlainAccount, Span
from broker.recorder.sqlite.reader import SqliteReader


async def is_forgotten(site: Site, agent: str) -> None:
    """Return when the broker has deleted all of an agent."""
    async with asyncio.timeout(PATIENCE_S):
        while await site.place.select(
            f"SELECT 1 FROM commands WHERE name = 'forget' UNION ALL"  # noqa: S608
            f" SELECT 1 FROM lines WHERE agent_id IS NULL OR agent_id = '{agent}'"
        ):
            site.clock.advance(1.0)
            await asyncio.sleep(0.01)


async def test_a_command_waits_until_it_is_applied(site: Site) -> None:
    await site.stream("a", 0, 0, 5, 0)
    await site.reader.command_rebase("a")
    (command,) = await site.reader.commands("a")
    assert (command.name, command.is_applied) == ("rebase", False)
    claim = await site.lines.recorder.claim(header(), "")
    site.clock.advance(1.0)
    async with asyncio.timeout(PATIENCE_S):
        while not site.lines.recorder.pending_rebase(claim):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    await site.stream("a", 0, 5, 1, 100)
    (command,) = await site.reader.commands("a")
    assert command.is_applied
    assert await site.reader.commands("b") == []
    with pytest.raises(CommandError, match="has no agent b; it has a"):
        await site.reader.command_rebase("b")


async def test_a_reset_of_an_agent_that_is_away_is_not_waited_for(site: Site) -> None:
    await site.stream("a", 0, 0, 5, 0)
    site.clock.advance(60.0)
    told = await reset(site.reader, "a", site.clock)
    assert told == "a: sends no samples now: its predictor is reset at its next sample"


async def test_a_reset_of_a_slow_agent_is_waited_for(site: Site) -> None:
    with await site.lines.open(header(0, at_ns=0, period_ns=60 * 10**9)) as stream:
        await send_on(stream, [sample(0), sample(1)])
        site.clock.advance(50.0)
        resetting = asyncio.create_task(reset(site.reader, "a", site.clock))
        claim = await site.lines.recorder.claim(header(), "")
        async with asyncio.timeout(PATIENCE_S):
            while not await site.reader.commands("a"):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
            site.clock.advance(1.0)
            while not site.lines.recorder.pending_rebase(claim):  # noqa: ASYNC110 - nor does it
                await asyncio.sleep(0.01)
        await send_on(stream, [sample(2)])
        assert await resetting == "a: its predictor is reset, and learns again"


async def test_a_reset_of_an_agent_that_is_forgotten_meanwhile_says_so(on_disk: Site) -> None:
    site = on_disk
    await site.stream("a", 0, 0, 5, 0)
    reader = Forgotten(site.place.path)
    told = await reset(reader, "a", site.clock)
    assert told == "a: was forgotten meanwhile: it has no predictor to reset"


class Forgotten(SqliteReader):
    """Somebody forgets an agent after each command, before anything else is asked."""

    async def command_rebase(self, agent_id: str) -> bool:
        is_served = await super().command_rebase(agent_id)
        change(self._path, f"DELETE FROM commands WHERE agent_id = '{agent_id}'")  # noqa: S608
        return is_served


async def test_an_agent_that_is_forgotten_is_listed_nowhere(site: Site) -> None:
    for agent in "ab":
        await site.stream(agent, 0, 0, 1200, 0)
        await site.stream(agent, 1, 5, 3, 0)
    await site.reader.command_rebase("a")
    cursor = await site.reader.tail()
    assert await site.reader.command_forget("a") is None  # the broker runs
    with pytest.raises(CommandError, match="has no agent c; it has "):
        await site.reader.command_forget("c")
    await is_forgotten(site, "a")
    assert {each.agent_id for each in (await site.reader.accounts()).sessions} == {"b"}
    assert (await site.reader.accounts()).plain == PlainAccount(0, 0, 0)
    assert await site.found("a") == []
    assert await site.reader.explanations("a", Span()) == []
    assert await site.reader.commands("a") == []
    assert len(await site.found("b")) == 1203
    news = await site.reader.news("", 5000)
    assert {each.agent_id for each in news.samples} == {"b"}
    with pytest.raises(CommandError, match="has no agent a; it has b"):
        await site.reader.command_forget("a")
    await site.stream("a", 2, 7, 2, 0)  # as a new one
    (account,) = [each for each in (await site.reader.accounts()).sessions if each.agent_id == "a"]
    assert (account.first_id, account.received, account.gaps) == (7, 2, 0)
    assert [each.id for each in (await site.reader.news(cursor, 10)).samples] == [7, 8]


async def test_without_a_broker_an_agent_is_forgotten_at_once(place: Place) -> None:
    async with place.running() as site:
        await site.stream("b", 0, 0, 5, 0)
        await site.stream("c", 0, 0, 5, 0)
        await site.stream("a", 0, 0, 1200, 0)
        cursor = await site.reader.tail()
    assert await site.reader.command_forget("a") == 1200
    assert await site.reader.command_forget("c") == 5
    for table in ("lines", "sessions", "samples", "explanations", "snapshots"):
        rows = await place.select(f"SELECT DISTINCT line FROM {table}")  # noqa: S608
        assert set(rows) <= {(1,)}
    async with place.running() as site:  # positions that were seen are nobody else's
        await site.stream("b", 0, 5, 2, 0)
        assert [each.id for each in (await site.reader.news(cursor, 10)).samples] == [5, 6]
