"""gRPC's standard services, health and reflection: their messages and descriptors.

Written from their documents, so that no package of gRPC's is needed to serve them. They live in a
pool of their own: a program that has those packages too meets no name twice.
"""

from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from wire.databroker_pb2 import DESCRIPTOR as DATABROKER
from wire.state_pb2 import DESCRIPTOR as STATE

_KINDS = {
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "string": FieldDescriptorProto.TYPE_STRING,
}


def _field(written: str) -> FieldDescriptorProto:
    """One such as `repeated string name = 1`; `oneof` where it is of the message's only one."""
    *labels, kind, name, _, number = written.split()
    field = FieldDescriptorProto(
        name=name,
        number=int(number),
        label=(
            FieldDescriptorProto.LABEL_REPEATED
            if "repeated" in labels
            else FieldDescriptorProto.LABEL_OPTIONAL
        ),
    )
    if kind in _KINDS:
        field.type = _KINDS[kind]
    else:  # the pool finds out whether it is a message or an enumeration
        field.type_name = kind
    if "oneof" in labels:
        field.oneof_index = 0
    return field


def _message(name: str, fields: Iterable[str], oneof: str = "") -> DescriptorProto:
    message = DescriptorProto(name=name, field=map(_field, fields))
    if oneof:
        message.oneof_decl.add(name=oneof)
    return message


def _method(name: str, asked: str, answered: str, streams: str) -> MethodDescriptorProto:
    return MethodDescriptorProto(
        name=name,
        input_type=asked,
        output_type=answered,
        client_streaming=streams == "both",
        server_streaming=bool(streams),
    )


def _health() -> FileDescriptorProto:
    response = _message("HealthCheckResponse", ["ServingStatus status = 1"])
    response.enum_type.append(EnumDescriptorProto(name="ServingStatus"))
    for number, status in enumerate(("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")):
        response.enum_type[0].value.add(name=status, number=number)
    asked, answered = "HealthCheckRequest", "HealthCheckResponse"
    return FileDescriptorProto(
        name="grpc/health/v1/health.proto",
        package="grpc.health.v1",
        syntax="proto3",
        message_type=[_message(asked, ["string service = 1"]), response],
        service=[
            ServiceDescriptorProto(
                name="Health",
                method=[
                    _method("Check", asked, answered, ""),
                    _method("Watch", asked, answered, "server"),
                ],
            )
        ],
    )


def _reflection(version: str) -> FileDescriptorProto:
    asked, answered = "ServerReflectionRequest", "ServerReflectionResponse"
    return FileDescriptorProto(
        name=f"grpc/reflection/{version}/reflection.proto",
        package=f"grpc.reflection.{version}",
        syntax="proto3",
        message_type=[
            _message(
                asked,
                [
                    "string host = 1",
                    "oneof string file_by_filename = 3",
                    "oneof string file_containing_symbol = 4",
                    "oneof ExtensionRequest file_containing_extension = 5",
                    "oneof string all_extension_numbers_of_type = 6",
                    "oneof string list_services = 7",
                ],
                "message_request",
            ),
            _message(
                "ExtensionRequest",
                ["string containing_type = 1", "int32 extension_number = 2"],
            ),
            _message(
                answered,
                [
                    "string valid_host = 1",
                    f"{asked} original_request = 2",
                    "oneof FileDescriptorResponse file_descriptor_response = 4",
                    "oneof ExtensionNumberResponse all_extension_numbers_response = 5",
                    "oneof ListServiceResponse list_services_response = 6",
                    "oneof ErrorResponse error_response = 7",
                ],
                "message_response",
            ),
            _message("FileDescriptorResponse", ["repeated bytes file_descriptor_proto = 1"]),
            _message(
                "ExtensionNumberResponse",
                ["string base_type_name = 1", "repeated int32 extension_number = 2"],
            ),
            _message("ListServiceResponse", ["repeated ServiceResponse service = 1"]),
            _message("ServiceResponse", ["string name = 1"]),
            _message("ErrorResponse", ["int32 error_code = 1", "string error_message = 2"]),
        ],
        service=[
            ServiceDescriptorProto(
                name="ServerReflection",
                method=[_method("ServerReflectionInfo", asked, answered, "both")],
            )
        ],
    )


_POOL = DescriptorPool()
for _file in (_health(), *map(_reflection, ("v1", "v1alpha"))):
    _POOL.Add(_file)
for _stub in (DATABROKER, STATE):
    _POOL.AddSerializedFile(_stub.serialized_pb)


def message(name: str) -> Any:
    """The class of the message with this full name."""
    return GetMessageClass(_POOL.FindMessageTypeByName(name))


def decoded(kind: Any, encoded: bytes) -> Any:
    """The message of this class. ValueError: it is none."""
    try:
        return kind.FromString(encoded)
    except DecodeError as error:
        raise ValueError(f"not a {kind.DESCRIPTOR.name}") from error


def file_named(name: str) -> list[bytes]:
    """The descriptor of this file, and of those that it needs. KeyError: there is none."""
    return _with_needed(_POOL.FindFileByName(name))


def file_of(symbol: str) -> list[bytes]:
    """The same of the file that defines a service, a method or a message."""
    return _with_needed(_POOL.FindFileContainingSymbol(symbol))


def _with_needed(file: FileDescriptor) -> list[bytes]:
    found: dict[str, bytes] = {}
    waiting = [file]
    while waiting:
        each = waiting.pop()
        if each.name not in found:
            found[each.name] = each.serialized_pb
            waiting += each.dependencies
    return list(found.values())
