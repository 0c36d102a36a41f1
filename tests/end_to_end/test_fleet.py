"""Several brokers with one database: any of them serves any agent."""

import asyncio
import json
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from support.chain import Chain
from support.patience import PATIENCE_S
from support.peers import plain_stream
from support.postgres import Database, Server
from support.processes import Broker
from support.store import expected, sample

from broker.model import Answer
from wire.databroker_pb2 import BrokerRequest
from wire.metadata import StreamHeader

CHAIN = ("--predictor", "support.chain:Chain")
SESSION = "0123456789abcdef" * 2


@pytest.fixture
async def database(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    database = await postgres.create()
    yield database
    await database.drop()


def header(first_id: int, session: str = SESSION) -> tuple[tuple[str, str], ...]:
    return StreamHeader("a", session, first_id, 0, 1000).to_metadata()


def request(id_: int) -> BrokerRequest:
    one, two, three, four = sample(id_).values
    return BrokerRequest(id=id_, sensor1=one, sensor2=two, sensor3=three, sensor4=four)


async def send(address: str, ids: range, session: str = SESSION) -> list[Answer]:
    """Open a stream, send, and take the answers."""
    async with plain_stream(address, header(ids[0], session)) as call:
        answers = []
        for id_ in ids:
            await call.write(request(id_))
            response = await call.read()
            assert response is not grpc.aio.EOF, await call.details()
            answers.append(Answer(response.id, response.prediction))
        await call.done_writing()
        return answers


async def send_until_killed(broker: Broker, first: int, kill_at: int) -> dict[int, bool]:
    """Stream without a pause; with the answer of this id the broker is killed."""
    answers: dict[int, bool] = {}
    async with plain_stream(broker.address, header(first)) as call:

        async def write() -> None:
            for id_ in range(first, kill_at + 300):
                await call.write(request(id_))

        writing = asyncio.create_task(write())
        try:
            async for response in call:
                answers[response.id] = response.prediction
                if response.id == kill_at:
                    broker.kill()
        except grpc.aio.AioRpcError as error:
            assert error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL}  # noqa: PT017
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    return answers


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "broker", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


async def test_an_agent_goes_from_one_broker_to_the_next_as_if_nothing_had_been(
    database: Database,
) -> None:
    """Each is killed amid its work; some of the last samples are sent again."""
    dice = random.Random(1)  # noqa: S311
    answers: dict[int, bool] = {}
    store = ("--store", database.url)
    for _ in range(4):
        with Broker(*CHAIN, *store) as one, Broker(*CHAIN, *store) as two:
            for broker in (one, two):
                first = max(0, len(answers) - dice.randrange(1, 200))
                kill_at = len(answers) + dice.randrange(1, 400)
                for id_, prediction in (await send_until_killed(broker, first, kill_at)).items():
                    assert answers.setdefault(id_, prediction) == prediction
    count = len(answers)
    with Broker(*CHAIN, *store) as broker:
        for answer in await send(broker.address, range(count - 1, count + 700)):
            assert answers.setdefault(answer.id, answer.prediction) == answer.prediction
        assert "Traceback" not in broker.stderr
        assert await asyncio.to_thread(broker.stop) == 0
    box = Chain()
    assert answers == {each.id: each.prediction for each in expected(box, range(count + 700))}
    rows = await database.select("SELECT id, prediction, position FROM samples ORDER BY position")
    assert rows == [(id_, prediction, id_ + 1) for id_, prediction in answers.items()]
    ledger = await asyncio.to_thread(command, "ledger", *store)
    assert ledger.returncode == 0, ledger.stderr


@pytest.mark.parametrize(
    ("session", "code", "superseded_by"),
    [
        (SESSION, grpc.StatusCode.UNAVAILABLE, None),
        ("f" * 32, grpc.StatusCode.ABORTED, "f" * 32),
    ],
)
async def test_a_broker_that_wakes_up_is_refused(
    session: str, code: grpc.StatusCode, superseded_by: str | None, database: Database
) -> None:
    """Its agent went on elsewhere; or another device streams under the same name."""
    store = ("--store", database.url)
    with Broker(*CHAIN, *store) as frozen, Broker(*CHAIN, *store) as other:
        async with plain_stream(frozen.address, header(0)) as call:
            await call.write(request(0))
            assert (await call.read()).id == 0
            frozen.freeze()
            await call.write(request(1))
            taken = await send(other.address, range(3), session)
            frozen.signal(signal.SIGCONT)
            with pytest.raises(grpc.aio.AioRpcError):
                await call.read()
            assert await call.code() is code
            trailing = dict(tuple(await call.trailing_metadata()))
            assert trailing.get("superseded-by") == superseded_by
        box = Chain()
        seen = [] if session == SESSION else expected(box, [0])
        assert taken == expected(box, range(3))
        back = await send(frozen.address, range(2, 6), session)
        assert back == [taken[2], *expected(box, range(3, 6))]
        rows = await database.select("SELECT id FROM samples ORDER BY position")
        assert [id_ for (id_,) in rows] == [*(each.id for each in seen), *range(6)]


async def test_a_restored_backup_is_used_and_the_lack_is_told(
    database: Database, tmp_path: Path
) -> None:
    """The agent and its session have lived on: what came after the backup is on no record."""
    dump, server = str(tmp_path / "quartet.dump"), database.server
    with Broker(*CHAIN, "--store", database.url) as broker:
        await send(broker.address, range(5))
        await asyncio.to_thread(
            server.run, "pg_dump", "--format=custom", f"--file={dump}", database.url
        )
        await send(broker.address, range(5, 12))
    restored = await server.create()
    await asyncio.to_thread(
        server.run, "pg_restore", "--exit-on-error", f"--dbname={restored.url}", dump
    )
    with Broker(*CHAIN, "--store", restored.url) as broker:
        answers = await send(broker.address, range(12, 20))
        broker.wait_for(
            "WARNING a: continues with sample 12, but its newest sample on record is 4: 7 samples"
            " are not on record between them"
        )
    box = Chain()
    expected(box, range(5))
    assert answers == expected(box, range(12, 20))
    assert await restored.select("SELECT gaps, answered FROM sessions") == [(7, 13)]
    await restored.drop()


async def test_people_ask_and_command_by_the_url(database: Database) -> None:
    store = ("--store", database.url)
    with Broker(*CHAIN, *store) as broker:
        await send(broker.address, range(5))
        status = await asyncio.to_thread(command, "status", *store, "--json")
        assert status.returncode == 0, status.stderr
        assert [each["agent_id"] for each in json.loads(status.stdout)["agents"]] == ["a"]
        check = await asyncio.to_thread(command, "store", "check", *store)
        assert (check.returncode, check.stdout) == (0, "5 samples, 0 snapshots: no problems\n")
        backup = await asyncio.to_thread(command, "store", "backup", "a copy.db", *store)
        assert (backup.returncode, backup.stdout) == (1, "")
        assert f"programs: pg_dump --file 'a copy.db' {database.url}, or" in backup.stderr
    forgotten = await asyncio.to_thread(command, "forget", "a", *store)
    assert forgotten.stdout == "a: deleted all records, 5 samples among them\n"
    unknown = await asyncio.to_thread(command, "rebase", "a", *store)
    assert unknown.returncode == 1
    assert "has no agent a; it has none" in unknown.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "no file for history, notes and users: give --database PATH, or --config with"),
        (("--database", "console.db"), 1, "no PostgreSQL server answers"),
        (("--check", "--database", "console.db"), 2, "store.url: postgresql://"),
        (("--check",), 2, "console.database: no file for history, notes and users"),
    ],
)
def test_a_console_that_cannot_start_says_why(
    arguments: tuple[str, ...],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "console.toml"
    config.write_text('[store]\nurl = "postgresql://broker@127.0.0.1:1/plant"\n')
    done = command("console", "--config", str(config), "--listen", "127.0.0.1:0", *arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert said in done.stderr


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ('url = "postgresql://broker@db1/plant"\npath = "broker.db"', "store.url: contradicts"),
        ('path = "postgresql://broker@db1/plant"', "the key for a database is store.url"),
        ('url = "postgresql://broker:geheim@db1/plant"', "contains a password"),
    ],
)
def test_a_store_of_a_console_that_is_none_is_refused(
    store: str, said: str, tmp_path: Path
) -> None:
    config = tmp_path / "console.toml"
    config.write_text(f"[store]\n{store}\n")
    done = command("console", "--config", str(config), "--check")
    assert done.returncode == 2
    assert said in done.stderr
    assert "geheim" not in done.stderr


def test_without_the_library_it_is_said_what_to_install() -> None:
    script = (
        "import sys; sys.modules['asyncpg'] = None; from broker.__main__ import main;"
        "sys.exit(main(['status', '--store', 'postgresql://127.0.0.1/plant']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "asyncpg is missing: pip install 'asyncpg" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("postgresql://broker:geheim@127.0.0.1/plant", 2, "contains a password"),
        ("postgresql://127.0.0.1/plant?password=geheim", 2, "contains a password"),
        ("mysql://broker@127.0.0.1/plant", 2, "a URL such as postgresql://broker@db1/quartet"),
        ("postgresql://broker@127.0.0.1:1/plant", 1, "no PostgreSQL server answers"),
        ("postgresql://broker@[::1/plant", 2, "postgresql"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url: str, code: int, said: str) -> None:
    for arguments in (("run", "--listen", "127.0.0.1:0"), ("status",)):
        done = command(*arguments, "--store", url)
        assert done.returncode == code
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert "geheim" not in done.stderr + done.stdout
