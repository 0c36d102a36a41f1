"""A store that goes away, or is damaged, under a running broker."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from support.chain import Chain
from support.patience import PATIENCE_S
from support.peers import plain_stream
from support.processes import Broker
from support.store import expected, sample, select

from broker.model import Answer
from wire.databroker_pb2 import BrokerRequest
from wire.metadata import StreamHeader

CHAIN = ("--predictor", "support.chain:Chain")
SESSION = "0123456789abcdef" * 2


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    folder = tmp_path / "state"
    folder.mkdir()
    return folder / "broker.db"


def request(id_: int) -> BrokerRequest:
    one, two, three, four = sample(id_).values
    return BrokerRequest(id=id_, sensor1=one, sensor2=two, sensor3=three, sensor4=four)


async def refused(address: str) -> tuple[grpc.StatusCode, str]:
    """How a stream is ended that has sent nothing yet."""
    async with plain_stream(address, StreamHeader("a", SESSION, 0, 0, 1000).to_metadata()) as call:
        return await call.code(), await call.details() or ""


async def converse(address: str, *ids: int) -> tuple[list[Answer], grpc.StatusCode, str]:
    """Open a stream, send, take the answers until there is none, and how it ended."""
    metadata = StreamHeader("a", SESSION, ids[0], 0, 1000).to_metadata()
    answers = []
    async with plain_stream(address, metadata) as call:
        try:
            for id_ in ids:
                await call.write(request(id_))
                response = await call.read()
                if response is grpc.aio.EOF:
                    break
                answers.append(Answer(response.id, response.prediction))
            else:
                await call.done_writing()
        except grpc.aio.AioRpcError:
            pass
        return answers, await call.code(), await call.details() or ""


def running(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command line, for what ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def health(broker: Broker) -> int:
    return running("broker.healthcheck", broker.address).returncode


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - processes give no event
            await asyncio.sleep(0.05)


@contextmanager
def frozen(broker: Broker) -> Iterator[None]:
    """It sees nothing of what is done while entered before all of it is done."""
    broker.freeze()
    try:
        yield
    finally:
        broker.signal(signal.SIGCONT)


def remove(path: Path, *companions: str) -> None:
    for name in companions:
        Path(f"{path}{name}").unlink()


def read(path: Path, companion: str) -> bytes:
    return Path(f"{path}{companion}").read_bytes()


def delete(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


def move_file(path: Path) -> None:
    path.rename(path.with_name("moved.db"))


def move_directory(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def replace(path: Path) -> None:
    copy = path.with_name("copy.db")
    copy.write_bytes(path.read_bytes())
    copy.rename(path)


def replace_log(path: Path) -> None:
    Path(f"{path}-wal").unlink()
    Path(f"{path}-wal").touch()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (delete, "was deleted while in use"),
        (move_file, "was moved away while in use"),
        (move_directory, "was moved away while in use"),
        (replace, "is another file than the one in use"),
        (replace_log, "another program has replaced this file of the broker"),
    ],
)
async def test_a_store_that_is_not_in_its_place_any_more_ends_the_answers(
    how: Callable[[Path], None], said: str, path: Path
) -> None:
    with Broker(*CHAIN, "--store", str(path)) as broker:
        box = Chain()
        answers, code, _ = await converse(broker.address, 0, 1, 2)
        assert (answers, code) == (expected(box, range(3)), grpc.StatusCode.OK)
        assert await asyncio.to_thread(health, broker) == 0
        with frozen(broker):
            how(path)
            files = set(path.parent.iterdir()) if path.parent.exists() else set()
        for _ in range(3):
            code, details = await refused(broker.address)
            assert code is grpc.StatusCode.UNAVAILABLE
            assert said in details
        await until(lambda: health(broker) == 1)
        assert broker.code is None
        assert (set(path.parent.iterdir()) if path.parent.exists() else set()) == files
        assert broker.stop() == 0
    if how is replace_log:
        assert select(path, "SELECT id FROM samples") == [(0,), (1,), (2,)]
        assert select(path, "PRAGMA integrity_check") == [("ok",)]
    assert broker.stderr.count("ERROR") == 1
    assert "stop the broker" in broker.stderr
    assert "Traceback" not in broker.stderr


async def test_a_store_that_is_back_in_its_place_is_used_again(path: Path) -> None:
    with Broker(*CHAIN, "--store", str(path)) as broker:
        box = Chain()
        assert (await converse(broker.address, 0, 1))[0] == expected(box, range(2))
        for move in (move_file, move_directory):
            move(path)
            await until(lambda: health(broker) == 1)
            if path.parent.exists():
                path.with_name("moved.db").rename(path)
            else:
                path.parent.with_name("moved").rename(path.parent)
            await until(lambda: health(broker) == 0)
        answers, code, _ = await converse(broker.address, 1, 2, 3)
        assert (answers[1:], code) == (expected(box, [2, 3]), grpc.StatusCode.OK)
        broker.stop()
    assert select(path, "SELECT id FROM samples") == [(0,), (1,), (2,), (3,)]
    assert broker.stderr.count("is in its place again, and samples are recorded, after") == 2


@pytest.mark.parametrize("gone", [("-wal",), ("-shm",), ("-wal", "-shm")])
async def test_logs_that_were_deleted_are_saved_and_made_again(
    gone: tuple[str, ...], path: Path
) -> None:
    with Broker(*CHAIN, "--store", str(path)) as broker:
        box = Chain()
        assert (await converse(broker.address, 0, 1))[0] == expected(box, range(2))
        with frozen(broker):
            remove(path, *gone)
        await asyncio.to_thread(
            broker.wait_for, "its records are saved, and the store is opened again"
        )
        rebased = await asyncio.to_thread(
            running, "broker", "rebase", "nobody", "--store", str(path)
        )
        assert "has no agent nobody; it has a" in rebased.stderr
        answers, code, _ = await converse(broker.address, 1, 2, 3)
        assert (answers[1:], code) == (expected(box, [2, 3]), grpc.StatusCode.OK)
        assert await asyncio.to_thread(health, broker) == 0
        broker.kill()
    assert select(path, "SELECT id FROM samples") == [(0,), (1,), (2,), (3,)]
    assert select(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("command", [("rebase", "a"), ("ledger",)])
async def test_no_second_program_makes_logs_that_a_broker_lacks(
    command: tuple[str, ...], path: Path
) -> None:
    with Broker(*CHAIN, "--store", str(path)) as broker:
        await converse(broker.address, 0, 1)
        broker.freeze()  # it cannot mend them
        remove(path, "-wal", "-shm")
        told = await asyncio.to_thread(running, "broker", *command, "--store", str(path))
        assert told.returncode == 1
        assert f"is missing, and process {broker.pid} uses the store" in told.stderr
        assert {file.name for file in path.parent.iterdir()} == {"broker.db", "broker.db.lock"}
        broker.signal(signal.SIGCONT)
        await asyncio.to_thread(broker.wait_for, "its records are saved")
        told = await asyncio.to_thread(running, "broker", *command, "--store", str(path))
        assert (told.returncode, told.stderr) == (0, "")


async def test_no_second_program_opens_another_file_beside_the_logs_of_a_broker(
    path: Path,
) -> None:
    """It would write the log of the one into the other, and delete it."""
    backup = path.with_name("backup.db")
    store = ("--store", str(path))
    with Broker(*CHAIN, *store) as broker:
        await converse(broker.address, 0, 1)
        copied = await asyncio.to_thread(running, "broker", "store", "backup", str(backup), *store)
        assert copied.returncode == 0
        await converse(broker.address, 2, 3)
        backup.rename(path)
        log = read(path, "-wal")
        commands = [("rebase", "a"), ("forget", "a"), ("ledger",), ("store", "check")]
        for told in await asyncio.gather(
            *(asyncio.to_thread(running, "broker", *command, *store) for command in commands)
        ):
            assert told.returncode == 1
            assert "is another file than the one in use" in told.stderr
            assert f"process {broker.pid} uses the store" in told.stderr
        assert read(path, "-wal") == log


async def test_a_deleted_lock_file_lets_no_second_broker_start(path: Path) -> None:
    with Broker(*CHAIN, "--store", str(path)) as broker:
        broker.freeze()  # it cannot make it again
        remove(path, ".lock")
        run = ("broker", "run", "--listen", "127.0.0.1:0", "--store", str(path))
        second = await asyncio.to_thread(running, *run)
        assert second.returncode == 1
        assert "is in use by another process, whose lock file was deleted" in second.stderr
        remove(path, ".lock")
        broker.signal(signal.SIGCONT)
        await asyncio.to_thread(
            broker.wait_for, "lock: was deleted while in use: it is created again"
        )
        second = await asyncio.to_thread(running, *run)
        assert f"is in use by process {broker.pid}" in second.stderr
        assert (await converse(broker.address, 0))[0] == expected(Chain(), [0])
        assert broker.stop() == 0


def zero(path: Path, name: str) -> None:
    """Zero all pages of a table or an index."""
    pages = [page for (page,) in select(path, "SELECT pageno FROM dbstat WHERE name = ?", name)]
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * 4096)
            file.write(bytes(4096))


async def test_a_damaged_page_that_the_broker_has_in_memory_changes_no_answer(path: Path) -> None:
    with Broker(*CHAIN, "--store", str(path)) as broker:
        await converse(broker.address, *range(2000))
        broker.stop()
    with Broker(*CHAIN, "--store", str(path)) as broker:
        zero(path, "samples_by_line")  # which a start reads
        answers, *_ = await converse(broker.address, *range(1990, 2010))
        assert answers == expected(Chain(), range(2010))[1990:][: len(answers)]


@pytest.mark.parametrize("name", ["samples_by_id", "samples"])
async def test_damage_under_a_running_broker_is_told_from_what_passes(
    name: str, path: Path
) -> None:
    with Broker(*CHAIN, "--store", str(path)) as broker:
        await converse(broker.address, *range(2000))
        broker.stop()
    with Broker(*CHAIN, "--store", str(path)) as broker:
        zero(path, name)
        for _ in range(3):
            assert (await converse(broker.address, *range(1990, 2010)))[0] == []
            code, details = await refused(broker.address)
            assert code is grpc.StatusCode.UNAVAILABLE
            assert f"run 'broker store repair --store {path}'" in details
        await until(lambda: health(broker) == 1)
        assert broker.code is None
        told = await asyncio.to_thread(running, "broker", "ledger", "--store", str(path))
        assert (told.returncode == 1) == (name != "samples")  # which it does not read
        assert ("is damaged" in told.stderr) == (name != "samples")
        assert broker.stop() == 0
    assert broker.stderr.count("ERROR") == 1
    assert "over after" not in broker.stderr
    assert "Traceback" not in broker.stderr
