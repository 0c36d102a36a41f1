"""`broker run --check` of a database: what it says of the server, before a broker starts."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.chain import Chain
from support.clock import ManualClock
from support.patience import PATIENCE_S
from support.postgres import Database, Server, running
from support.store import OpenLines, header, sample, send_on

from broker.__main__ import main
from broker.recorder.postgres.inspection import Seen, inspect
from broker.recorder.postgres.keeping import FleetKeeping
from broker.recorder.postgres.recorder import PostgresRecorder
from quartet.clock import Clock
from quartet.errors import StoreError


@pytest.fixture
async def database(postgres: Server) -> AsyncIterator[Database]:
    database = await postgres.create()
    yield database
    await database.drop()


async def look(url: str, generation: int = 0, digest: str = "d1", clock: Clock = time) -> Seen:
    seen = await inspect(url, "normal", generation, digest, clock)
    return seen._replace(warnings=[each for each in seen.warnings if "fsync" not in each])


async def refused(url: str) -> str:
    with pytest.raises(StoreError) as raised:
        await look(url)
    return str(raised.value)


@asynccontextmanager
async def served(database: Database, agent: str, generation: int = 0) -> AsyncIterator[None]:
    """A broker runs, and has answered an agent."""
    async with PostgresRecorder(
        database.url, "d1", FleetKeeping(), generation=generation
    ) as recorder:
        with await OpenLines(Chain, recorder).open(header(0, agent=agent)) as stream:
            await send_on(stream, [sample(0)])
        yield


async def test_an_empty_database_stays_empty(database: Database) -> None:
    seen = await look(database.url)
    assert f", database {database.name}, user postgres; the primary; no standby" in seen.news
    assert seen.news.endswith("; empty: the first broker makes the tables")
    assert seen.warnings == []
    assert await database.select("SELECT count(*) FROM pg_class WHERE relname = 'lines'") == [(0,)]


async def test_brokers_that_run_are_counted(database: Database) -> None:
    async with PostgresRecorder(database.url, "d1", FleetKeeping()):
        seen = await look(database.url)
    assert seen.news.endswith("; schema 2; 1 broker running now")
    assert seen.warnings == []


async def test_settings_are_named(database: Database) -> None:
    seen = await inspect(database.url, "normal", 0, "d1", time)
    assert seen.warnings == ["a power failure may lose samples: fsync = off"]
    with pytest.raises(StoreError, match="because the server has fsync = off"):
        await inspect(database.url, "full", 0, "d1", time)


@pytest.mark.parametrize(
    ("wall_s", "said"), [(-3600.0, "59 min behind"), (3600.0, "60 min ahead of")]
)
async def test_a_clock_that_is_wrong_is_told(wall_s: float, said: str, database: Database) -> None:
    clock = ManualClock(wall_s=time.time() + wall_s)
    (told,) = (await look(database.url, clock=clock)).warnings
    assert said.replace("59", "60") in told.replace("59", "60")
    assert "the server, whose time the records get" in told


async def test_agents_of_a_newer_generation_are_counted(database: Database) -> None:
    async with served(database, "a", 7):
        pass
    (told,) = (await look(database.url, 3)).warnings
    assert told.startswith("1 agent was served by brokers with fleet.generation 7: this one has 3")
    assert (await look(database.url, 7)).warnings == []


async def test_a_broker_with_another_predictor_is_told(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(database, "a"):
        (told,) = (await look(database.url, digest="d2")).warnings
        assert " serves 1 agent with another predictor (code, model or options): " in told
        assert "raise fleet.generation here" in told
        assert (await look(database.url, 1, "d2")).warnings == []
        assert (await look(database.url, digest="d1")).warnings == []
        async with PostgresRecorder(database.url, "d2", FleetKeeping()):
            assert told in caplog.text
    assert (await look(database.url, digest="d2")).warnings == []


async def test_what_no_broker_can_use_is_refused(database: Database, postgres: Server) -> None:
    assert "does not exist: create it with 'createdb'" in await refused(postgres.url("nowhere"))
    await database.do("CREATE TABLE invoices (number integer)")
    assert "holds something else (a table invoices)" in await refused(database.url)
    await database.do("DROP TABLE invoices")
    await database.do(
        "DO $$ BEGIN CREATE ROLE stranger LOGIN; EXCEPTION WHEN duplicate_object THEN END $$"
    )
    stranger = postgres.url(database.name, "stranger")
    told = await refused(stranger)
    assert f"stranger may not make and change tables in {database.name}" in told
    await database.prepare()
    await database.do("GRANT CREATE ON SCHEMA public TO stranger")
    await database.do("GRANT ALL ON ALL TABLES IN SCHEMA public TO stranger")
    assert "stranger may not make and change tables" in await refused(stranger)
    await database.do("UPDATE quartet_store SET works_from = 99, version = 99")
    assert "has schema 99, this version of quartet knows" in await refused(database.url)


async def test_a_standby_is_refused(postgres: Server, database: Database) -> None:
    with running(postgres) as standby:
        assert "the server is a standby" in await refused(standby.url(database.name))


async def test_a_server_that_says_nothing_is_not_waited_for_long(postgres: Server) -> None:
    """It takes connections, and answers none."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        async with asyncio.timeout(PATIENCE_S):
            told = await refused(postgres.url("plant", port=mute.getsockname()[1]))
    assert "no PostgreSQL server answers (none within " in told


def test_the_command_says_what_it_has_understood(
    database: Database, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "broker.toml"
    file.write_text(f'[recorder]\nurl = "{database.url}"\n')
    assert main(["run", "--config", str(file), "--check"]) == 0
    said = capfd.readouterr()
    assert said.out.startswith(f"{database.url}: PostgreSQL ")
    assert said.out.endswith(f"broker: the configuration is right ({file})\n")
    assert "broker: warning: " in said.err
    file.write_text(f'[recorder]\nsync = "full"\nurl = "{database.url}"\n')
    assert main(["run", "--config", str(file), "--check"]) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert "fsync = off" in said.err


def test_a_reload_by_systemd_does_not_need_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "broker.toml"
    file.write_text('[recorder]\nurl = "postgresql://quartet@127.0.0.1:1/plant"\n')
    assert main(["run", "--config", str(file), "--check"]) == 2
    assert "no PostgreSQL server answers" in capfd.readouterr().err
    monkeypatch.setenv("MAINPID", "812")
    assert main(["run", "--config", str(file), "--check"]) == 0
