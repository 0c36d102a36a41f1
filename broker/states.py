"""The second service: an agent asks how its own line stands, and whether it would be admitted."""

import asyncio
from collections.abc import Callable

from broker import codec
from broker.access import Access, Peer, certificate_of
from broker.errors import AccessError
from broker.lines import Lines
from broker.model import Code, Ending
from broker.transport import Call
from quartet.foreign import shown
from wire.metadata import agent_id_of

# A question comes with its call. Who keeps it back holds a place among the open ones.
_QUESTION_S = 10.0

# Number of open questions: an agent asks one at a time, and each is answered within a turn.
_MOST_OPEN = 1024

_STOPPING = Ending(Code.UNAVAILABLE, "the broker is stopping")


class States:
    """Serves GetState and CheckAdmission. Loop only.

    A question takes no room in `limits.streams`: it looks into memory, and costs no more than a
    stream that is refused or a health check, which nobody counts either. So questions are not
    counted by time; but for those that are open at once, which hold memory.
    """

    def __init__(
        self,
        lines: Lines,
        access: Access,
        *,
        question_s: float = _QUESTION_S,
        most_open: int = _MOST_OPEN,
    ) -> None:
        self._lines = lines
        self._access = access
        self._question_s = question_s
        self._most_open = most_open
        self._open: set[Call] = set()
        self._is_stopping = False

    def stop(self) -> None:
        """End all calls, also those that still come, with UNAVAILABLE."""
        self._is_stopping = True
        for call in self._open:
            call.end(_STOPPING)

    async def serve(self, call: Call) -> None:
        """Answer one question, about the caller's own line alone."""
        await self._serve(call, self._access.check, self._standing)

    async def serve_admission(self, call: Call) -> None:
        """Answer whether a stream of the caller would be admitted. It opens and ends none."""
        await self._serve(call, self._access.check_stream, lambda _: codec.ADMITTED)

    async def _serve(
        self, call: Call, check: Callable[[Peer], None], answer: Callable[[str], bytes]
    ) -> None:
        if self._is_stopping:
            call.end(_STOPPING)
            return
        if len(self._open) >= self._most_open:
            call.end(Ending(Code.RESOURCE_EXHAUSTED, "too many open questions: ask again later"))
            return
        self._open.add(call)
        try:
            agent_id = agent_id_of(call.metadata)
            check(Peer(call.peer, certificate_of(call.certificate, call.peer), agent_id))
            await self._answer(call, lambda: answer(agent_id))
        except ValueError as error:
            call.end(Ending(Code.INVALID_ARGUMENT, shown(error)))
        except AccessError as error:
            call.end(Ending(error.code, str(error)))
        finally:
            self._open.remove(call)

    def _standing(self, agent_id: str) -> bytes:
        return codec.encode_standing(self._lines.standing(agent_id))

    async def _answer(self, call: Call, answer: Callable[[], bytes]) -> None:
        late = Ending(Code.DEADLINE_EXCEEDED, f"no question within {self._question_s:g} s")
        timer = asyncio.get_running_loop().call_later(self._question_s, call.end, late)
        try:
            if await call.read():
                await call.write([answer()])
        finally:
            timer.cancel()
