"""The broker over the wire: plain peers, named agents, and peers that misbehave."""

import asyncio
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from support.patience import PATIENCE_S
from support.peers import plain_stream
from support.processes import Agent, Broker

from broker.recorder import ANSWERS_AT_ONCE
from wire import METHOD_PATH, SERVICE
from wire.databroker_pb2 import BrokerRequest, BrokerResponse
from wire.metadata import StreamHeader

DROPPER = Path(__file__).parents[1] / "support" / "dropper.py"
DROPPER = Path(__file__).parents[1] / "support" / "dropper.py"
SESSION = "0123456789abcdef" * 2


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker("--predictor", "parity") as broker:
        yield broker


async def ask(call: grpc.aio.StreamStreamCall, *ids: int) -> list[tuple[int, bool]]:
    """Send each id and take its answer before the next."""
    answers = []
    for id_ in ids:
        await call.write(BrokerRequest(id=id_))
        response = await call.read()
        assert response is not grpc.aio.EOF, await call.code()
        answers.append((response.id, response.prediction))
    return answers


async def assert_serves(broker: Broker) -> None:
    async with plain_stream(broker.address) as call:
        assert await ask(call, 0, 1) == [(0, True), (1, False)]


def header(agent_id: str, first_id: int = 0, session_id: str = SESSION) -> tuple[tuple[str, str]]:
    return StreamHeader(agent_id, session_id, first_id, 0, 0).to_metadata()


async def ending(call: grpc.aio.StreamStreamCall) -> tuple[grpc.StatusCode, str]:
    """How the call ended, once it has."""
    async with asyncio.timeout(PATIENCE_S):
        return await call.code(), await call.details()


async def test_a_plain_peer_is_answered_for_whatever_ids_it_sends(broker: Broker) -> None:
    ids = [5, 5, 3, -2, 0, 2**31 - 1, -(2**31)]
    async with plain_stream(broker.address) as call:
        assert await ask(call, *ids) == [(id_, id_ % 2 == 0) for id_ in ids]
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert (await ending(call))[0] is grpc.StatusCode.OK


async def test_a_false_answer_to_id_0_is_an_empty_message_and_valid() -> None:
    with Broker("--predictor", "limits") as broker:
        async with grpc.aio.insecure_channel(broker.address) as channel:
            call = channel.stream_stream(METHOD_PATH)()
            await call.write(b"")
            assert await call.read() == b""


async def test_all_of_100_streams_are_served_at_once(broker: Broker) -> None:
    together = asyncio.Barrier(100)

    async def stream() -> None:
        async with plain_stream(broker.address) as call:
            assert await ask(call, 0) == [(0, True)]
            await together.wait()
            assert await ask(call, 1) == [(1, False)]

    await asyncio.wait_for(asyncio.gather(*(stream() for _ in range(100))), PATIENCE_S)


async def test_answers_of_many_samples_in_flight_keep_their_order(broker: Broker) -> None:
    count = 5000
    async with plain_stream(broker.address) as call:

        async def send() -> None:
            for id_ in range(count):
                await call.write(BrokerRequest(id=id_))
            await call.done_writing()

        sending = asyncio.create_task(send())
        assert [response.id async for response in call] == list(range(count))
        await sending


async def test_health_and_reflection_are_served(broker: Broker) -> None:
    async with grpc.aio.insecure_channel(broker.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", SERVICE):
            reply = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = reflection.ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        listed = (await call.read()).list_services_response.service
        assert SERVICE in {service.name for service in listed}
        call.cancel()


async def test_a_resent_sample_gets_its_answer_again_on_another_stream(broker: Broker) -> None:
    async with plain_stream(broker.address, header("resent")) as call:
        first = await ask(call, 0, 1, 2, 3)
    async with plain_stream(broker.address, header("resent", 2)) as call:
        assert await ask(call, 2, 3, 4) == [*first[2:], (4, True)]


@pytest.mark.parametrize(
    ("first_id", "ids", "reason"),
    [
        (3, [4], "sample 4: expected 3, which first-id announced"),
        (0, [0, 1, 1], "sample 1: expected an id above 1"),
        (0, [0, 5, 4], "sample 4: expected an id above 5"),
    ],
)
async def test_ids_out_of_order_in_a_session_end_the_stream(
    first_id: int, ids: list[int], reason: str, broker: Broker
) -> None:
    agent_id = f"disorder-{first_id}-{ids[-1]}"
    async with plain_stream(broker.address, header(agent_id, first_id)) as call:
        assert len(await ask(call, *ids[:-1])) == len(ids) - 1
        await call.write(BrokerRequest(id=ids[-1]))
        assert await ending(call) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
        assert ("refused-id", str(ids[-1])) in tuple(await call.trailing_metadata())
    await assert_serves(broker)


async def test_an_answer_that_is_not_known_any_more_is_out_of_range(broker: Broker) -> None:
    last = ANSWERS_AT_ONCE
    async with plain_stream(broker.address, header("expired")) as call:

        async def send() -> None:
            for id_ in range(last + 1):
                await call.write(BrokerRequest(id=id_))
            await call.done_writing()

        sending = asyncio.create_task(send())
        assert len([response async for response in call]) == last + 1
        await sending
    async with plain_stream(broker.address, header("expired")) as call:
        await call.write(BrokerRequest(id=0))
        assert (await ending(call))[0] is grpc.StatusCode.OUT_OF_RANGE
        assert ("refused-id", "0") in tuple(await call.trailing_metadata())


async def test_of_two_live_streams_of_one_agent_id_the_newer_wins(broker: Broker) -> None:
    async with plain_stream(broker.address, header("twins", session_id="a" * 32)) as older:
        assert await ask(older, 0, 1) == [(0, True), (1, False)]
        async with plain_stream(broker.address, header("twins", session_id="b" * 32)) as newer:
            assert await ask(newer, 0) == [(0, True)]
            assert (await ending(older))[0] is grpc.StatusCode.ABORTED
            assert ("superseded-by", "b" * 32) in tuple(await older.trailing_metadata())
            assert await ask(newer, 1) == [(1, False)]
    broker.wait_for(r"WARNING twins streams from 127\.0\.0\.1:\d+, and now from 127")


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ((("agent-id", "press-4"),), "metadata session-id, first-id, .* missing"),
        (header("press 4"), "metadata agent-id: expected 1 to 64 of"),
        (header("a" * 65), "metadata agent-id: expected 1 to 64 of"),
        (header("press-4", -1), "metadata first-id: expected a whole number"),
        (header("press-4", 2**31), "metadata first-id: expected a whole number"),
        (header("press-4", session_id="x" * 32), "metadata session-id: expected 32 hex digits"),
    ],
)
async def test_malformed_metadata_is_refused_by_name(
    metadata: tuple[tuple[str, str]], reason: str, broker: Broker
) -> None:
    async with plain_stream(broker.address, metadata) as call:
        code, details = await ending(call)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert re.search(reason, details)


async def test_garbage_ends_its_stream_and_no_other(broker: Broker) -> None:
    async with plain_stream(broker.address) as bystander:
        assert await ask(bystander, 1) == [(1, False)]
        async with grpc.aio.insecure_channel(broker.address) as channel:
            call = channel.stream_stream(METHOD_PATH)()
            await call.write(BrokerRequest(id=2).SerializeToString())
            await call.write(b"\xff" * 20)
            assert BrokerResponse.FromString(await call.read()).id == 2
            code, details = await ending(call)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "not a BrokerRequest" in details
        assert await ask(bystander, 2) == [(2, True)]


async def test_an_oversized_message_ends_its_stream_and_no_other(broker: Broker) -> None:
    async with plain_stream(broker.address) as bystander:
        assert await ask(bystander, 1) == [(1, False)]
        async with grpc.aio.insecure_channel(broker.address) as channel:
            call = channel.stream_stream(METHOD_PATH)()
            await call.write(bytes(1_000_000))
            assert (await ending(call))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await ask(bystander, 2) == [(2, True)]


async def test_bytes_that_are_no_http2_harm_nobody(broker: Broker) -> None:
    for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 4096, bytes(range(256)) * 64):
        _, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(noise)
        await writer.drain()
        writer.close()
    await assert_serves(broker)


def test_10000_streams_opened_and_dropped_cost_an_agent_no_prediction(
    broker: Broker, dataset: Path, tmp_path: Path
) -> None:
    table = tmp_path / "predictions.csv"
    with Agent(
        *("--simulate", str(dataset), "--rate", "200", "--broker", broker.address),
        *("--bare", "--predictions", str(table)),
    ) as agent:
        agent.wait_for("sample 50: ")
        drop = [sys.executable, str(DROPPER), broker.address, "10000"]
        subprocess.run(drop, check=True, timeout=PATIENCE_S)
        assert agent.wait() == 0
    assert table.read_text() == "".join(f"{n},{n % 2 == 0:d}\n" for n in range(982))
    assert "Traceback" not in broker.stderr


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return 1 / (sample.id - 3) < 0 or True", "ZeroDivisionError: division by zero"),
        ("return True if sample.id < 3 else exit(7)", "SystemExit: 7"),
        ("return True if sample.id < 3 else None", "TypeError: predict() returned None"),
    ],
)
async def test_a_black_box_that_raises_ends_one_stream(
    body: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "touchy.py").write_text(
        f"class Touchy:\n    def predict(self, sample):\n        {body}\n"
    )
    monkeypatch.chdir(tmp_path)
    with Broker("--predictor", "touchy:Touchy") as broker:
        async with (
            plain_stream(broker.address, header("bystander")) as bystander,
            plain_stream(broker.address, header("touchy")) as call,
        ):
            assert await ask(bystander, 0) == [(0, True)]
            assert await ask(call, 0, 1, 2) == [(0, True), (1, True), (2, True)]
            await call.write(BrokerRequest(id=3))
            code, details = await ending(call)
            assert code is grpc.StatusCode.INTERNAL
            assert details == f"sample 3: the predictor raised {reason}"
            assert ("refused-id", "3") in tuple(await call.trailing_metadata())
            assert await ask(bystander, 1) == [(1, True)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_ends_streams_with_a_reason_and_health_says_so(number: signal.Signals) -> None:
    with Broker("--predictor", "parity") as broker:
        async with (
            grpc.aio.insecure_channel(broker.address) as channel,
            plain_stream(broker.address) as call,
        ):
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            assert await ask(call, 0) == [(0, True)]
            broker.signal(number)
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert await ending(call) == (
                grpc.StatusCode.UNAVAILABLE,
                "the broker is stopping",
            )
        assert await asyncio.to_thread(broker.wait) == 0
    assert "Traceback" not in broker.stderr


async def test_a_stop_waits_for_no_peer_that_does_not_read() -> None:
    with Broker("--predictor", "parity") as broker:
        async with plain_stream(broker.address) as call:

            async def flood() -> None:
                while True:
                    await call.write(BrokerRequest(id=1, sensor1=1.0))

            with pytest.raises(TimeoutError):  # the broker reads no further than it can answer
                await asyncio.wait_for(flood(), 2)
            broker.signal(signal.SIGTERM)
            assert await asyncio.to_thread(broker.wait) == 0


def test_idle_connections_do_not_use_up_the_file_descriptors() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Broker() as broker:
        limits = Path(f"/proc/{broker.pid}/limits").read_text()
    soft = re.search(r"Max open files +(\d+)", limits)
    assert soft
    assert int(soft[1]) >= min(hard, 65_536)
