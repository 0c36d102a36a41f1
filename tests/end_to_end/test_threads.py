"""A broker whose black boxes work in threads, and one of them for ever."""

import asyncio
from pathlib import Path

import grpc
import pytest
from support.patience import PATIENCE_S
from support.peers import plain_stream
from support.processes import Broker
from support.store import select

from wire.databroker_pb2 import BrokerRequest
from wire.metadata import StreamHeader


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    config = tmp_path / "broker.toml"
    config.write_text(
        f"""
        [predictor]
        use = "support.slow:Endless"
        threads = 2
        [recorder]
        path = "{tmp_path / "broker.db"}"
        """
    )
    return config


def header(agent: str) -> tuple[tuple[str, str], ...]:
    return StreamHeader(agent, "0" * 32, 0, 0, 0).to_metadata()


async def answered(call: grpc.aio.StreamStreamCall, *ids: int) -> list[bool]:
    for id_ in ids:
        await call.write(BrokerRequest(id=id_))
    answers = []
    for id_ in ids:
        response = await call.read()
        assert response is not grpc.aio.EOF, await call.details()
        assert response.id == id_
        answers.append(response.prediction)
    return answers


async def test_a_black_box_that_never_comes_back_keeps_its_line_alone_and_not_the_process(
    config: Path,
) -> None:
    with Broker("--config", str(config)) as broker:
        async with (
            plain_stream(broker.address, header("stuck")) as stuck,
            plain_stream(broker.address, header("other")) as other,
        ):
            async with asyncio.timeout(PATIENCE_S):
                assert await answered(stuck, *range(6)) == [False, True] * 3
                await stuck.write(BrokerRequest(id=13))
                assert await answered(other, *range(6)) == [False, True] * 3
            assert await asyncio.to_thread(broker.stop) == 0
        assert "Traceback" not in broker.stderr
        assert "was never retrieved" not in broker.stderr
    rows = select(config.with_name("broker.db"), "SELECT id FROM samples ORDER BY line, id")
    assert rows == [(id_,) for id_ in range(6)] * 2


async def test_a_raise_in_a_thread_ends_its_stream_with_the_sample_it_was_about(
    config: Path,
) -> None:
    with Broker("--config", str(config)) as broker:
        async with (
            plain_stream(broker.address, header("bad")) as bad,
            plain_stream(broker.address, header("good")) as good,
        ):
            assert await answered(good, 0, 1) == [False, True]
            assert await answered(bad, 0, 1) == [False, True]
            await bad.write(BrokerRequest(id=7))
            assert await bad.code() is grpc.StatusCode.INTERNAL
            assert ("refused-id", "7") in tuple(await bad.trailing_metadata())
            assert "ArithmeticError: no logarithm of 7" in await bad.details()
            assert await answered(good, 2, 3) == [False, True]
        assert await asyncio.to_thread(broker.stop) == 0
