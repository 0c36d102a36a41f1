"""The SQL of docs/fleet.md and of the dashboard gives what it says, to a role that only reads."""

import json
import re
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from support.chain import Chain
from support.markdown import blocks
from support.postgres import Database, Server
from support.read import Even
from support.store import header, sample, send_on
from support.stores import lines_of

_SQL = [block.text for block in blocks("docs/fleet.md") if block.kind == "sql"]
_DASHBOARD = json.loads(
    (Path(__file__).parents[2] / "monitoring" / "quartet-postgres.json").read_text("utf-8")
)
_QUESTIONS = [text for text in _SQL if text.startswith("SELECT")]


@pytest.fixture
async def grafana(postgres: Server) -> AsyncIterator[Database]:
    """A database with two agents, and a role as the page says."""
    database = await postgres.create()
    async with lines_of(database.url, Even) as lines:
        with await lines.open(header(agent="press-1", at_ns=10**18, period_ns=10**8)) as stream:
            await send_on(stream, [sample(id_) for id_ in range(25)])
    async with lines_of(database.url, Chain) as lines:
        with await lines.open(header(agent="press-2")) as stream:
            await send_on(stream, [sample(0)])
    await database.do("DROP ROLE IF EXISTS grafana")
    for text in _SQL:
        if not text.startswith("SELECT"):
            await database.do(text)
    yield database
    await database.drop()
    await postgres.command("DROP ROLE grafana")


async def answers(database: Database, question: str) -> list[Any]:
    """As Grafana asks: it puts the range of the page in the place of its macro."""
    query = re.sub(
        r"\$__timeFilter\((\w+)\)", r"\1 BETWEEN now() - interval '1 h' AND now()", question
    )
    query = query.replace("$__interval", "15s").replace("${agent:sqlstring}", "'press-1'")
    assert "$" not in query
    connection = await asyncpg.connect(
        database.server.url(database.name, "grafana"),
        server_settings={"default_transaction_read_only": "on"},
    )
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()


async def test_each_question_of_the_page_is_answered(grafana: Database) -> None:
    values, extremes, agents = [await answers(grafana, question) for question in _QUESTIONS]
    assert [row["sensor1"] for row in values] == [id_ / 2 for id_ in range(25)]
    assert (values[0]["time"].timestamp(), values[1]["time"] - values[0]["time"]) == (
        10**9,
        datetime.fromtimestamp(0.1) - datetime.fromtimestamp(0),
    )
    assert min(row["least"] for row in extremes) == 0.0
    assert max(row["most"] for row in extremes) == 12.0
    assert {row["alarm"] for row in extremes} == {1}
    assert {row["agent_id"] for row in agents} == {"press-1", "press-2"}
    assert agents[0]["agent_id"] == "press-1"  # its newest answer is True
    assert agents[0]["alarm_since"]


async def test_each_panel_of_the_dashboard_shows_something(grafana: Database) -> None:
    (agent,) = [each for each in _DASHBOARD["templating"]["list"] if each["type"] == "query"]
    assert [row["agent_id"] for row in await answers(grafana, agent["query"])] == [
        "press-1",
        "press-2",
    ]
    panels = _DASHBOARD["panels"]
    questions = {each["title"]: t["rawSql"] for each in panels for t in each["targets"]}
    assert len(questions) == len(panels)
    found = {title: await answers(grafana, question) for title, question in questions.items()}
    assert [title for title, rows in found.items() if not rows] == []
    least, most = [
        pick(row[name] for row in found["sensor1 of $agent"])
        for pick, name in ((min, "least"), (max, "most"))
    ]
    assert (least, most) == (0.0, 12.0)


async def test_the_role_changes_nothing(grafana: Database) -> None:
    for change in ("DELETE FROM samples", "UPDATE lines SET epoch = 0", "SELECT * FROM commands"):
        with pytest.raises(asyncpg.PostgresError, match=r"permission denied|read-only"):
            await answers(grafana, change)
