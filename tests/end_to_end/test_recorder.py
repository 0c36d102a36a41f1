"""The broker's store: killed at any moment, filled up, read beside, commanded."""

import asyncio
import json
import random
import struct
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from support.chain import Chain
from support.patience import PATIENCE_S
from support.peers import plain_stream
from support.processes import Broker
from support.store import expected, full_disk, sample, select

from broker.model import Answer
from broker.recorder.sqlite.schema import MIGRATIONS
from wire.databroker_pb2 import BrokerRequest
from wire.metadata import StreamHeader

CHAIN = ("--predictor", "support.chain:Chain")
FORGETFUL = ("--predictor", "support.chain:Forgetful")
SESSION = "0123456789abcdef" * 2


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    return tmp_path / "broker.db"


def header(first_id: int, agent: str = "a", session: str = SESSION) -> tuple[tuple[str, str], ...]:
    return StreamHeader(agent, session, first_id, 0, 1000).to_metadata()


def request(id_: int) -> BrokerRequest:
    one, two, three, four = sample(id_).values
    return BrokerRequest(id=id_, sensor1=one, sensor2=two, sensor3=three, sensor4=four)


async def converse(
    broker: Broker, answers: dict[int, bool], count: int, *, lost: int, kill_at: int
) -> None:
    """Stream from the first sample without an answer to the last.

    Every answer must be equal to an earlier one of the same id. `lost` answers are asked again.
    With the answer of this number the broker is killed, while it has some more to answer.
    """
    first = max(0, len(answers) - lost)
    async with plain_stream(broker.address, header(first)) as call:

        async def send() -> None:
            for id_ in range(first, min(count, kill_at + 300)):
                await call.write(request(id_))
            if kill_at > count:
                await call.done_writing()

        sending = asyncio.create_task(send())
        try:
            async for response in call:
                assert answers.setdefault(response.id, response.prediction) == response.prediction
                assert response.id <= len(answers) - 1
                if len(answers) >= kill_at and broker.code is None:
                    broker.kill()
        except grpc.aio.AioRpcError as error:
            assert error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL}  # noqa: PT017
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


async def answer(address: str, *ids: int, agent: str = "a") -> list[Answer]:
    """Open a stream, send, and take the answers."""
    async with plain_stream(address, header(ids[0], agent)) as call:
        answers = []
        for id_ in ids:
            await call.write(request(id_))
            response = await call.read()
            assert response is not grpc.aio.EOF, await call.details()
            answers.append(Answer(response.id, response.prediction))
        return answers


def undisturbed(count: int) -> dict[int, bool]:
    return {each.id: each.prediction for each in expected(Chain(), range(count))}


@pytest.mark.parametrize("predictor", [CHAIN, FORGETFUL])
@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_at_any_moment_the_broker_predicts_as_if_it_never_was(
    predictor: tuple[str, str], seed: int, path: Path
) -> None:
    dice = random.Random(seed)  # noqa: S311
    count = 6000
    answers: dict[int, bool] = {}
    lives = 0
    while len(answers) < count:
        with Broker(*predictor, "--store", str(path)) as broker:
            is_last = lives == 5
            until = len(answers) + dice.randrange(1, count // 8)
            await converse(
                *(broker, answers, count),
                lost=dice.randrange(600),
                kill_at=count + 1 if is_last else until,
            )
            if is_last:
                broker.stop()
            lives += 1
    assert answers == undisturbed(count)
    assert lives == 6
    rows = select(path, "SELECT id, prediction FROM samples ORDER BY position")
    assert rows == [(id_, int(prediction)) for id_, prediction in answers.items()]
    assert select(path, "SELECT answered, gaps, refused FROM sessions") == [(count, 0, 0)]


async def test_a_full_disk_ends_its_streams_until_there_is_room_again(path: Path) -> None:
    box = Chain()
    with Broker(*CHAIN, "--store", str(path)) as broker:
        assert await answer(broker.address, 0, 1) == expected(box, [0, 1])
        with full_disk(path, broker.pid):
            for _ in range(3):
                async with plain_stream(broker.address, header(2)) as call:
                    await call.write(request(2))
                    assert await call.code() is grpc.StatusCode.UNAVAILABLE
                    assert "the broker cannot record samples: " in await call.details()
                    assert "refused-id" not in dict(tuple(await call.trailing_metadata()))
        assert await answer(broker.address, 1, 2, 3) == [
            *expected(Chain(), [0, 1])[1:],
            *expected(box, [2, 3]),
        ]
        assert await asyncio.to_thread(broker.stop) == 0
    assert broker.stderr.count("ERROR") == 1
    assert "Traceback" not in broker.stderr


def test_two_brokers_never_share_a_store(path: Path) -> None:
    with Broker("--store", str(path)) as owner:
        second = running("run", "--listen", "127.0.0.1:0", "--store", str(path))
        assert second.returncode == 1
        assert f"is in use by process {owner.pid}" in second.stderr
        assert "listening" not in second.stderr
        assert "Traceback" not in second.stderr
        assert owner.stop() == 0
    with Broker("--store", str(path)) as third:
        assert third.stop() == 0


def running(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The broker's command line, for what ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "broker", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("none/broker.db", "there is no directory"),
        ("noise.db", "is damaged (file is not a database)"),
        ("newer.db", f"has schema 9, this version of quartet knows {len(MIGRATIONS)}"),
        ("folder", "cannot be used"),
        ("/proc/broker.db", "cannot be written beside"),
    ],
)
def test_a_store_that_cannot_be_used_is_named_and_nothing_is_served(
    where: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "noise.db").write_bytes(bytes(range(256)) * 100)
    with Broker("--store", str(tmp_path / "newer.db")) as broker:
        broker.stop()
    select(tmp_path / "newer.db", "PRAGMA user_version = 9")
    ended = running("run", "--listen", "127.0.0.1:0", "--store", str(tmp_path / where))
    assert ended.returncode == 1
    assert reason in ended.stderr
    assert str(tmp_path / where) in ended.stderr
    assert "listening" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_broker_that_keeps_nothing_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Broker() as broker:
        broker.stop()
    assert "recorder: in memory" in broker.stderr
    monkeypatch.setenv("STATE_DIRECTORY", str(path.parent))
    with Broker() as broker:
        broker.stop()
    assert f"recorder: {path}" in broker.stderr
    assert path.exists()


async def test_the_ledger_is_read_beside_the_broker_and_after_its_death(path: Path) -> None:
    with Broker(*CHAIN, "--store", str(path)) as broker:
        await answer(broker.address, 0, 1, 5)
        await answer(broker.address, 1, 5, 6)
        async with plain_stream(broker.address) as call:
            await call.write(request(3))
            await call.read()
        beside = await asyncio.to_thread(running, "ledger", "--store", str(path), "--json")
        await asyncio.to_thread(broker.kill)
    after = await asyncio.to_thread(running, "ledger", "--store", str(path), "--json")
    assert (beside.returncode, after.returncode) == (0, 0)
    books = json.loads(after.stdout)
    assert books == json.loads(beside.stdout)
    digest = books["sessions"][0].pop("digest")
    assert len(digest) == 16
    assert books == {
        "schema": 1,
        "sessions": [
            {
                "agent_id": "a",
                "session_id": SESSION,
                "first_id": 0,
                "last_id": 6,
                "received": 6,
                "answered": 4,
                "duplicates": 2,
                "refused": 0,
                "gaps": 3,
                "missing": [[2, 4]],
                "is_rehearsal": False,
                "sensors": None,
            }
        ],
        "plain": {"streams": 1, "received": 1, "answered": 1},
        "losses": [],
    }
    table = await asyncio.to_thread(running, "ledger", "--store", str(path))
    assert table.stdout.splitlines()[1].split() == ["a", SESSION[:8], *"0664203"]
    assert (
        table.stdout.splitlines()[2] == "without agent metadata: 1 stream, 1 received, 1 answered"
    )


@pytest.mark.parametrize("predictor", [CHAIN, FORGETFUL])
async def test_a_command_gives_a_line_a_fresh_black_box_which_a_crash_does_not_undo(
    predictor: tuple[str, str], path: Path
) -> None:
    fresh = Chain()
    with Broker(*predictor, "--store", str(path)) as broker:
        await answer(broker.address, *range(20))
        resetting = asyncio.create_task(
            asyncio.to_thread(running, "rebase", "a", "--store", str(path))
        )
        next_id = 20
        async with asyncio.timeout(PATIENCE_S):
            while "a: predictor reset, as a person asked" not in broker.stderr:
                answers = await answer(broker.address, next_id)
                next_id += 1
        told = await resetting
        assert (told.returncode, told.stderr) == (0, "")
        assert told.stdout == "a: its predictor is reset, and learns again\n"
        # Some samples may have been answered before what it said came through the pipe.
        ((applied_at,),) = select(path, "SELECT position FROM commands")
        assert answers == expected(fresh, range(applied_at, next_id))[-1:]
        await asyncio.to_thread(broker.kill)
    with Broker(*predictor, "--store", str(path)) as broker:
        ids = range(next_id, next_id + 20)
        assert await answer(broker.address, *ids) == expected(fresh, ids)


async def test_an_agent_that_is_forgotten_while_it_streams_is_a_new_one_also_after_a_crash(
    path: Path,
) -> None:
    fresh = Chain()
    with Broker(*CHAIN, "--store", str(path)) as broker:
        await answer(broker.address, *range(20), agent="b")
        async with plain_stream(broker.address, header(0)) as call:
            for id_ in range(3000):
                await call.write(request(id_))
                await call.read()
            told = await asyncio.to_thread(running, "forget", "a", "--store", str(path))
            assert (told.returncode, told.stderr) == (0, "")
            await asyncio.to_thread(broker.wait_for, "a: forgotten by 'broker forget'")
            await call.write(request(3000))
            assert await call.code() is grpc.StatusCode.UNAVAILABLE
            assert "'broker forget a' deleted its records" in (await call.details() or "")
        ids = range(3000, 3020)
        assert await answer(broker.address, *ids) == expected(fresh, ids)
        await asyncio.to_thread(broker.kill)
    with Broker(*CHAIN, "--store", str(path)) as broker:
        ids = range(3020, 3040)
        assert await answer(broker.address, *ids) == expected(fresh, ids)
        checked = await asyncio.to_thread(running, "store", "check", "--store", str(path))
        assert (checked.returncode, checked.stderr) == (0, "")
    told = await asyncio.to_thread(running, "ledger", "--store", str(path))
    assert [row.split()[::2][:3] for row in told.stdout.splitlines()[1:3]] == [
        ["b", "0", "20"],
        ["a", "3000", "40"],
    ]


async def test_what_is_on_record_is_what_was_sent(path: Path) -> None:
    with Broker(*CHAIN, "--store", str(path)) as broker:
        await answer(broker.address, 3, 4)
    rows = select(path, "SELECT id, sensors, sampled_at_ns FROM samples ORDER BY position")
    assert rows == [
        (id_, struct.pack("<4f", *sample(id_).values), (id_ - 3) * 1000) for id_ in (3, 4)
    ]
