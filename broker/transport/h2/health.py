"""gRPC's standard service of health: whether the broker serves, asked once or watched."""

import asyncio
from collections.abc import Collection

from broker.model import Code, Ending
from broker.transport import Call, Handler, Health
from wire import HEALTH_SERVICE
from wire.fields import number, text

# The numbers of the standard's ServingStatus.
_STATUS = {Health.SERVING: 1, Health.NOT_SERVING: 2}
_UNKNOWN = 3

# A question comes with its call.
_QUESTION_S = 10.0

_LATE = Ending(Code.DEADLINE_EXCEEDED, f"no question within {_QUESTION_S:g} s")
_STOPPING = Ending(Code.UNAVAILABLE, "the broker is stopping")


class HealthService:
    """Tells what was shown last, for each of these services, and for the empty name. Loop only."""

    def __init__(self, services: Collection[str]) -> None:
        self._services = {*services, ""}
        self._questions = {text(1, service): service for service in self._services}
        self._status = Health.NOT_SERVING
        self._changed = asyncio.Event()
        self._is_stopping = False

    @property
    def handlers(self) -> dict[str, Handler]:
        """By the paths of its methods."""
        return {f"/{HEALTH_SERVICE}/Check": self.check, f"/{HEALTH_SERVICE}/Watch": self.watch}

    def show(self, health: Health) -> None:
        """Tell this state from now on."""
        self._status = health
        self._tell()

    def stop(self) -> None:
        """End the calls of those who watch."""
        self._is_stopping = True
        self._tell()

    async def check(self, call: Call) -> None:
        """Answer once; NOT_FOUND for a service that is not here."""
        service = await self._asked(call)
        if service is None:
            return
        if service not in self._services:
            call.end(Ending(Code.NOT_FOUND, "no such service is here"))
            return
        await call.write([self._answer(service)])

    async def watch(self, call: Call) -> None:
        """Answer at once, and again with each change."""
        service = await self._asked(call)
        if service is None:
            return
        told = b""
        while True:
            changed, answer = self._changed, self._answer(service)
            if answer != told:
                await call.write([answer])
                told = answer
            if self._is_stopping:
                break
            await changed.wait()
        call.end(_STOPPING)

    def _answer(self, service: str) -> bytes:
        return number(1, _STATUS[self._status] if service in self._services else _UNKNOWN)

    async def _asked(self, call: Call) -> str | None:
        """The service that a call asks for; None: it does not ask, and its ending is given."""
        late = asyncio.get_running_loop().call_later(_QUESTION_S, call.end, _LATE)
        try:
            questions = await call.read()
        finally:
            late.cancel()
        try:
            return self._service(questions[0]) if questions else None
        except ValueError as error:
            call.end(Ending(Code.INVALID_ARGUMENT, str(error)))
            return None

    def _service(self, question: bytes) -> str:
        """The service that a message names. ValueError: it is no question."""
        if (known := self._questions.get(question)) is not None:
            return known
        from wire.standard import decoded, message  # noqa: PLC0415 - costs 4 MB

        return str(decoded(message(f"{HEALTH_SERVICE}CheckRequest"), question).service)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
