"""gRPC's standard service of reflection: which services are here, and their descriptors.

It is asked by people who try things out. So the descriptors are made when the first one asks: with
the protobuf library, they take 4 MB.
"""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from broker.model import Code, Ending
from broker.transport import Call, Handler
from quartet.foreign import shown
from wire import REFLECTION_SERVICES

_NOT_FOUND = 5


class ReflectionService:
    """Describes these services, those of health and itself. Loop only."""

    def __init__(self, services: Collection[str]) -> None:
        self._services = sorted({*services, *REFLECTION_SERVICES})
        self._calls: set[Call] = set()

    @property
    def handlers(self) -> dict[str, Handler]:
        """By the paths of its methods: one for each version."""
        return {
            f"/{service}/ServerReflectionInfo": partial(self._serve, service.rpartition(".")[0])
            for service in REFLECTION_SERVICES
        }

    def stop(self) -> None:
        """End all calls."""
        for call in self._calls:
            call.end(Ending(Code.UNAVAILABLE, "the broker is stopping"))

    async def _serve(self, package: str, call: Call) -> None:
        from wire.standard import decoded, message  # noqa: PLC0415 - see above

        request = message(f"{package}.ServerReflectionRequest")
        response = message(f"{package}.ServerReflectionResponse")
        self._calls.add(call)
        try:
            while questions := await call.read():
                answers = [self._answer(response, decoded(request, each)) for each in questions]
                await call.write([answer.SerializeToString() for answer in answers])
        except ValueError as error:
            call.end(Ending(Code.INVALID_ARGUMENT, str(error)))
        finally:
            self._calls.discard(call)

    def _answer(self, response: Callable[..., Any], asked: Any) -> Any:
        from wire.standard import file_named, file_of  # noqa: PLC0415 - see above

        answer = response(valid_host=asked.host, original_request=asked)
        kind = asked.WhichOneof("message_request")
        sought = str(getattr(asked, kind or "host"))
        try:
            match kind:
                case "list_services":
                    for name in self._services:
                        answer.list_services_response.service.add(name=name)
                case "file_by_filename":
                    _describe(answer, file_named(sought))
                case "file_containing_symbol":
                    _describe(answer, file_of(sought))
                case "all_extension_numbers_of_type":
                    file_of(sought)
                    answer.all_extension_numbers_response.base_type_name = sought
                case _:
                    _refuse(answer, "no message here has extensions")
        except KeyError:
            _refuse(answer, f"{shown(sought)}: nothing of this name is here")
        return answer


def _refuse(answer: Any, reason: str) -> None:
    answer.error_response.error_code = _NOT_FOUND
    answer.error_response.error_message = reason


def _describe(answer: Any, files: Collection[bytes]) -> None:
    answer.file_descriptor_response.file_descriptor_proto.extend(files)
