"""Health and reflection as gRPC's own clients ask for them."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from support.patience import PATIENCE_S

from broker.transport import Call, Health
from broker.transport.h2.transport import H2Transport
from quartet.address import Address
from wire import METHOD_PATH, SERVICE, STATE_METHOD_PATH, STATE_SERVICE
from wire.databroker_pb2 import DESCRIPTOR

HEALTH = health_pb2.HealthCheckResponse


async def nothing(_: Call) -> None: ...


@pytest.fixture
async def transport() -> AsyncIterator[H2Transport]:
    transport = H2Transport(Address("127.0.0.1", 0), None)
    transport.port = await transport.start({METHOD_PATH: nothing, STATE_METHOD_PATH: nothing})
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield transport
    finally:
        await transport.stop(0.0)


@pytest.fixture
async def channel(transport: H2Transport) -> AsyncIterator[grpc.aio.Channel]:
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{transport.port}", options) as channel:
        yield channel


async def test_who_watches_hears_of_each_change_and_of_the_stop(
    transport: H2Transport, channel: grpc.aio.Channel
) -> None:
    watch = health_pb2_grpc.HealthStub(channel).Watch(
        health_pb2.HealthCheckRequest(service=SERVICE)
    )
    assert (await watch.read()).status == HEALTH.NOT_SERVING
    for health in (Health.SERVING, Health.SERVING, Health.NOT_SERVING, Health.SERVING):
        await transport.show(health)
    assert (await watch.read()).status == HEALTH.SERVING
    await transport.show(Health.NOT_SERVING)
    assert (await watch.read()).status == HEALTH.NOT_SERVING
    await transport.stop(PATIENCE_S)
    assert await watch.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_service_that_is_not_here_is_not_found_and_may_be_watched(
    channel: grpc.aio.Channel,
) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    unknown = health_pb2.HealthCheckRequest(service="a.B")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.Check(unknown)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert (await stub.Watch(unknown).read()).status == HEALTH.SERVICE_UNKNOWN


async def test_what_is_no_question_is_an_invalid_argument(channel: grpc.aio.Channel) -> None:
    for path in ("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel.unary_unary(path)(b"\xff")
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_client_learns_each_service_by_reflection(transport: H2Transport) -> None:
    def learn() -> None:
        with grpc.insecure_channel(f"127.0.0.1:{transport.port}") as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            services = {*database.get_services()}
            assert services == {
                *(SERVICE, STATE_SERVICE, "grpc.health.v1.Health"),
                *(
                    "grpc.reflection.v1.ServerReflection",
                    "grpc.reflection.v1alpha.ServerReflection",
                ),
            }
            pool = DescriptorPool(database)
            for service in services:
                assert pool.FindServiceByName(service).methods
            request = pool.FindMessageTypeByName("bidirectional_databroker.BrokerRequest")
            assert [field.name for field in request.fields] == [
                *("id", "sensor1", "sensor2", "sensor3", "sensor4"),
            ]
            found = pool.FindFileByName(DESCRIPTOR.name)
            assert found.serialized_pb == DESCRIPTOR.serialized_pb
            with pytest.raises(KeyError):
                pool.FindMessageTypeByName("a.B")

    await asyncio.to_thread(learn)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ({"file_containing_symbol": "a.B"}, "error_response"),
        ({"file_by_filename": "a/b.proto"}, "error_response"),
        (
            {"all_extension_numbers_of_type": "bidirectional_databroker.BrokerRequest"},
            "all_extension_numbers_response",
        ),
        ({"all_extension_numbers_of_type": "a.B"}, "error_response"),
        ({"file_containing_extension": {"containing_type": "a.B"}}, "error_response"),
        ({}, "error_response"),
    ],
)
async def test_each_question_of_reflection_has_an_answer(
    asked: dict[str, str], answered: str, channel: grpc.aio.Channel
) -> None:
    """Both versions have the same messages."""
    request = reflection_pb2.ServerReflectionRequest(host="h", **asked)
    for version in ("v1", "v1alpha"):
        call = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )()
        await call.write(request)
        response = await call.read()
        assert response.WhichOneof("message_response") == answered
        assert response.original_request == request
        assert response.valid_host == "h"
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK


def test_the_messages_are_those_of_the_standard() -> None:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    from wire.standard import file_of

    for name, standard in (
        ("grpc.health.v1.Health", health_pb2.DESCRIPTOR),
        ("grpc.reflection.v1alpha.ServerReflection", reflection_pb2.DESCRIPTOR),
    ):
        ours = FileDescriptorProto.FromString(file_of(name)[0])
        theirs = FileDescriptorProto.FromString(standard.serialized_pb)
        known = {message.name: message for message in theirs.message_type}
        assert ours.package == theirs.package
        for message in ours.message_type:
            assert fields(message) == fields(known[message.name]), message.name
        for method in ours.service[0].method:
            assert method in theirs.service[0].method or method.name == "List"


def fields(message: object) -> list[tuple[object, ...]]:
    return [
        (field.name, field.number, field.type, field.label, field.HasField("oneof_index"))
        for field in sorted(message.field, key=lambda field: field.number)
    ]
