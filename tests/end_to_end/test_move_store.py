"""`broker move-store` between brokers: to a database and back, as if nothing had been."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import asyncpg
import grpc
import pytest
from support.chain import Chain
from support.patience import PATIENCE_S
from support.peers import plain_stream
from support.postgres import Server
from support.processes import Broker, Running
from support.store import expected, sample

from broker.model import Answer
from wire.databroker_pb2 import BrokerRequest
from wire.metadata import StreamHeader

CHAIN = ("--predictor", "support.chain:Chain")
SESSION = "0123456789abcdef" * 2


async def send(address: str, ids: range) -> list[Answer]:
    """Open a stream, send, and take the answers."""
    header = StreamHeader("a", SESSION, ids[0], 0, 1000).to_metadata()
    answers = []
    async with plain_stream(address, header) as call:
        for id_ in ids:
            one, two, three, four = sample(id_).values
            request = BrokerRequest(id=id_, sensor1=one, sensor2=two, sensor3=three, sensor4=four)
            await call.write(request)
            response = await call.read()
            assert response is not grpc.aio.EOF, await call.details()
            answers.append(Answer(response.id, response.prediction))
        await call.done_writing()
    return answers


async def command(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "broker", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == code, done.stderr
    return done


async def test_an_agent_goes_on_behind_each_move_as_if_there_had_been_none(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each broker is killed; the last samples are sent again to the next one."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    database = await postgres.create()
    stores = [str(tmp_path / "one.db"), database.url, str(tmp_path / "two.db")]
    answers: dict[int, bool] = {}
    for number, store in enumerate(stores):
        first = max(0, len(answers) - 50)
        with Broker(*CHAIN, "--store", store) as broker:
            for answer in await send(broker.address, range(first, first + 1300)):
                assert answers.setdefault(answer.id, answer.prediction) == answer.prediction
            if number < len(stores) - 1:
                to = stores[number + 1]
                served = await command("move-store", store, to, code=1)
                assert "is in use by" in served.stderr
            broker.kill()
        if number < len(stores) - 1:
            done = await command("move-store", store, to)
            assert done.stdout.startswith("moved 1 agent, 1 session, ")
            assert f"{store} was not changed" in done.stdout
            assert done.stderr == ""
    box = Chain()
    assert answers == {each.id: each.prediction for each in expected(box, range(len(answers)))}
    ledger = await command("ledger", "--store", stores[-1], "--json")
    (session,) = json.loads(ledger.stdout)["sessions"]
    assert (session["answered"], session["last_id"]) == (len(answers), len(answers) - 1)
    check = await command("store", "check", "--store", stores[-1])
    assert check.stdout.startswith(f"{len(answers)} samples, ")
    assert check.stdout.endswith(": no problems\n")
    await database.drop()


_WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'events'::regclass"


@pytest.mark.parametrize("direction", ["to", "from"])
async def test_a_move_that_is_killed_leaves_nothing_and_can_be_made_again(
    direction: str, postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed in the middle, where it waits for a table that is locked."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    database = await postgres.create()
    file = tmp_path / "one.db"
    with Broker(*CHAIN, "--store", str(file)) as broker:
        await send(broker.address, range(100))
        broker.stop()
    source, target = str(file), database.url
    if direction == "from":
        await command("move-store", source, target)
        source, target = target, str(tmp_path / "two.db")
    else:
        await database.prepare()
    other = await asyncpg.connect(database.url)
    async with other.transaction():
        await other.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        with Running(["broker", "move-store", source, target]) as moving:
            while not await other.fetchval(_WAITS):
                assert moving.code is None, moving.stderr
            moving.kill()
    await other.close()
    if direction == "from":
        assert Path(target).stat().st_size == 0  # noqa: ASYNC240
    else:
        assert await database.select("SELECT count(*) FROM lines") == [(0,)]
    done = await command("move-store", source, target)
    assert done.stdout.startswith("moved 1 agent, 1 session, 100 samples, ")
    ledger = await command("ledger", "--store", target, "--json")
    assert json.loads(ledger.stdout)["sessions"][0]["answered"] == 100
    await database.drop()


@pytest.mark.parametrize(
    ("stores", "code", "said"),
    [
        (("a.db", "b.db"), 2, "one must be a file, and the other a postgresql:// URL"),
        (("a.db", "mysql://127.0.0.1/b"), 2, "TO: a database has a URL such as"),
        (("postgresql://a:geheim@127.0.0.1/b", "b.db"), 2, "FROM: contains a password"),
        (("nothing.db", "postgresql://127.0.0.1:1/b"), 1, "nothing.db: there is no such file"),
        (("postgresql://127.0.0.1:1/b", "b.db"), 1, "no PostgreSQL server answers"),
    ],
)
async def test_what_cannot_be_moved_is_said(
    stores: tuple[str, str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = await command("move-store", *stores, code=code)
    assert said in done.stderr
    assert "geheim" not in done.stderr
    assert [*tmp_path.iterdir()] == []  # noqa: ASYNC240
