"""Brokers on one database that do not fit together: told, and nothing is lost."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
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
OTHER = ("--predictor", "support.chain:Forgetful")
SESSION = "0123456789abcdef" * 2
HOUR_S = 3600.0

_FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


@pytest.fixture
async def database(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    database = await postgres.create()
    yield database
    await database.drop()


async def send(broker: Broker, ids: range) -> list[Answer]:
    """Open a stream, send, and take the answers."""
    header = StreamHeader("a", SESSION, ids[0], 0, 1000).to_metadata()
    answers = []
    async with plain_stream(broker.address, header) as call:
        for id_ in ids:
            one, two, three, four = sample(id_).values
            await call.write(
                BrokerRequest(id=id_, sensor1=one, sensor2=two, sensor3=three, sensor4=four)
            )
            response = await call.read()
            assert response is not grpc.aio.EOF, await call.details()
            answers.append(Answer(response.id, response.prediction))
        await call.done_writing()
    return answers


def command(
    *arguments: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "broker", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env=env,
    )


def clock_off(hours: int) -> dict[str, str]:
    """The environment of a process whose clock is wrong."""
    off = f"{hours:+d}h"
    return {"LD_PRELOAD": str(_FAKETIME), "FAKETIME": off, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@pytest.mark.skipif(not _FAKETIME, reason="the Debian package faketime is not installed")
async def test_brokers_whose_clocks_are_an_hour_apart(database: Database) -> None:
    """All records have the server's time, which also tells how old they are."""
    store = ("--store", database.url)
    began_ns = time.time_ns()
    with (
        Broker(*CHAIN, *store, env=clock_off(1)) as early,
        Broker(*CHAIN, *store, env=clock_off(-1)) as late,
    ):
        answers = []
        for number in range(6):
            answers += await send((early, late)[number % 2], range(30 * number, 30 * number + 30))
        status = await asyncio.to_thread(
            command, "status", *store, "--json", env={**os.environ, **clock_off(1)}
        )
        found = json.loads(status.stdout)
        (agent,) = found["agents"]
        for at_ns in (found["at_ns"], agent["heard_at_ns"]):
            assert abs(at_ns - time.time_ns()) / 1e9 < HOUR_S / 2
        assert all(began_ns <= each["since_ns"] for each in found["fleet"]["brokers"])
        assert await asyncio.to_thread(early.stop) == 0
        assert await asyncio.to_thread(late.stop) == 0
    assert answers == expected(Chain(), range(180))
    rows = await database.select(
        "SELECT bool_and(arrived_at BETWEEN to_timestamp($1) AND now()), count(*) FROM samples",
        began_ns / 1e9,
    )
    assert rows == [(True, 180)]


async def test_brokers_of_two_plants_on_one_database(database: Database) -> None:
    """The second one says so when it starts."""
    store = ("--store", database.url)
    with Broker(*CHAIN, *store) as ours:
        answers = await send(ours, range(20))
        with Broker(*OTHER, *store) as theirs:
            theirs.wait_for("serves 1 agent with another predictor .*use another database")
            answers += await send(theirs, range(20, 40))
            answers += await send(ours, range(40, 60))
            answers += (await send(theirs, range(55, 80)))[5:]
            assert "Traceback" not in ours.stderr + theirs.stderr
    assert [each.id for each in answers] == [*range(80)]
    ledger = await asyncio.to_thread(command, "ledger", *store, "--json")
    (session,) = json.loads(ledger.stdout)["sessions"]
    assert (session["answered"], session["duplicates"], session["gaps"]) == (80, 5, 0)
    rows = await database.select("SELECT id, prediction FROM samples ORDER BY position")
    assert rows == [(each.id, each.prediction) for each in answers]
