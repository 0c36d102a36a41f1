"""Servers that speak gRPC: a broker, one that cannot be asked for admission, another service."""

import asyncio
import contextlib

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse
from support import middle_box as box
from support.middle_box import middle_box
from support.patience import PATIENCE_S
from support.peers import Peer, scripted_broker

from agent.check.broker import check_brokers
from agent.check.findings import Finding, Outcome
from agent.config import AgentSettings, BrokerSettings, Settings
from agent.credentials import Plaintext
from agent.reach.calls import first_status, peers_status
from agent.reach.questions import Connection, Questions
from agent.reach.way import Way
from quartet.address import Address
from wire import METHOD_PATH

PATIENCE = 0.5

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING

GRPC = (":status", "200"), ("content-type", "application/grpc")


async def checked(port: int) -> Finding:
    """What the doctor says of a server in the clear."""
    broker = BrokerSettings(f"127.0.0.1:{port}")
    settings = Settings(AgentSettings("press-1"), broker)
    (finding,) = await asyncio.to_thread(list, check_brokers(settings, PATIENCE_S, PATIENCE_S))
    return finding


async def test_a_server_without_health_is_no_broker() -> None:
    async with scripted_broker(None) as port:
        finding = await checked(port)
    assert finding.outcome is Outcome.FAILED
    assert "has no health service: this is not a Quartet broker" in finding.detail


async def test_a_server_without_streams_is_no_broker_whatever_its_health() -> None:
    async with scripted_broker(None, tell_health=lambda: SERVING) as port:
        finding = await checked(port)
    assert finding.outcome is Outcome.FAILED
    assert "has no service for samples: this is not a Quartet broker" in finding.detail


async def test_a_broker_that_does_not_serve_is_no_success() -> None:
    async with scripted_broker(Peer.echo, tell_health=lambda: NOT_SERVING) as port:
        finding = await checked(port)
    assert finding.outcome is Outcome.FAILED
    assert "says that it is not serving" in finding.detail


@pytest.mark.parametrize(
    ("code", "outcome", "words"),
    [
        ("OK", Outcome.PASSED, "admission not tested: it cannot be asked"),
        ("INVALID_ARGUMENT", Outcome.PASSED, "and refuses a stream without a name (INVALID_ARG"),
        ("UNAUTHENTICATED", Outcome.PASSED, "and refuses a stream without a name (UNAUTHENTIC"),
        ("UNAVAILABLE", Outcome.FAILED, ": UNAVAILABLE: not now"),
        ("RESOURCE_EXHAUSTED", Outcome.FAILED, ": RESOURCE_EXHAUSTED: not now"),
        ("INTERNAL", Outcome.FAILED, ": INTERNAL: not now"),
        ("CANCELLED", Outcome.FAILED, ": CANCELLED: not now"),
    ],
)
async def test_a_broker_that_cannot_be_asked_for_admission_is_judged_by_an_empty_stream(
    code: str, outcome: Outcome, words: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.echo()
        if code != "OK":
            await peer.abort(grpc.StatusCode[code], "not now")

    async with scripted_broker(script, tell_health=lambda: SERVING) as port:
        finding = await checked(port)
    assert finding.outcome is outcome
    assert words in finding.detail
    assert finding.remedy or outcome is Outcome.PASSED


async def http2_and_no_more(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(box.frame(box.SETTINGS, 0, 0))
    await box.say_nothing(reader, writer)


async def test_a_service_that_hangs_is_told_from_a_connection_that_does_not_come_about() -> None:
    way = Way(Plaintext(), 20.0)
    questions = Questions(way, "press-1")

    async def asked(address: Address, *, connected: bool) -> str:
        async with await way.channel(address, PATIENCE_S) as channel:
            if connected:
                await channel.channel_ready()
            to = Connection(address, channel, PATIENCE_S, PATIENCE)
            objection = await questions.health(to)
        assert objection
        assert objection.reason.is_late
        return objection.reason.text

    async with middle_box(http2_and_no_more) as port:
        text = await asked(Address("127.0.0.1", port), connected=True)
    assert text == "it speaks HTTP/2, and does not answer within 0.5 s"
    with box.deaf_port() as port:
        text = await asked(Address("127.0.0.1", port), connected=False)
    assert text == "it is not reached within 0.5 s"


async def test_the_status_of_the_peer_is_heard_where_it_overtakes_what_is_sent() -> None:
    """grpc.aio replaces it by an INTERNAL of its own in half of these tries."""
    refusal = box.response((*GRPC, ("grpc-status", "12"), ("grpc-message", "not now")))
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with middle_box(box.http2(refusal)) as port:
        for _ in range(20):
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
                call = channel.stream_stream(METHOD_PATH)()
                ended = first_status(call)
                with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
                    await call.wait_for_connection()
                    await call.write(b"")
                status = await ended
                assert (status.code.name, status.details) == ("UNIMPLEMENTED", "not now")


async def test_the_status_of_the_peer_is_heard_behind_answers_that_are_not_read_yet() -> None:
    """grpc.aio tells an INTERNAL of its own first, as the peer's comes behind the answers."""

    async def script(peer: Peer) -> None:
        await peer.read()
        for number in range(5):
            await peer.answer(number)
        await peer.abort(grpc.StatusCode.ABORTED, "a newer stream", superseded_by="f" * 32)

    options = [("grpc.use_local_subchannel_pool", 1)]
    async with (
        scripted_broker(script) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel,
    ):
        call = channel.stream_stream(METHOD_PATH)()
        first = first_status(call)
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
            while True:
                await call.write(b"")
        answers = 0
        with contextlib.suppress(grpc.RpcError):
            async for _ in call:
                answers += 1
        status = await peers_status(call, first)
    assert (status.code, answers) == (grpc.StatusCode.ABORTED, 5)
    assert dict(status.metadata)["superseded-by"] == "f" * 32
