"""The life of a call: admitted, opened, answered, ended. No decisions, no transport library."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from broker import codec
from broker.access import Access, Peer
from broker.errors import AccessError, DeniedError, RecordError, TakenError
from broker.lines import Lines
from broker.model import Code, Ending, Refusal
from broker.stream import Stream, superseded
from broker.transport import Call
from quartet.foreign import shown
from wire.metadata import REFUSED_ID, StreamHeader

if TYPE_CHECKING:
    from quartet.certificates import Certificate

log = logging.getLogger(__name__)

# An agent opens a stream with its first sample. A plain peer may have none yet.
_FIRST_SAMPLE_S = 60.0

_STOPPING = Ending(Code.UNAVAILABLE, "the broker is stopping")


class Service:
    """Serves BidirectionalStreaming, a call at a time of each peer. Loop only.

    Whoever has a reason to end a call gives it to `Call.end`, at any time: the first one wins,
    and what was received before is still answered.
    """

    def __init__(
        self, lines: Lines, access: Access, *, first_sample_s: float = _FIRST_SAMPLE_S
    ) -> None:
        self._lines = lines
        self._access = access
        self._first_sample_s = first_sample_s
        self._calls: set[Call] = set()
        self._is_stopping = False

    def stop(self) -> None:
        """End all calls, also those that still come, with UNAVAILABLE."""
        self._is_stopping = True
        for call in self._calls:
            call.end(_STOPPING)

    async def serve(self, call: Call) -> None:
        """Serve one call to its end."""
        self._calls.add(call)
        if self._is_stopping:
            call.end(_STOPPING)
        try:
            await self._admit(call)
        except AccessError as error:
            call.end(Ending(error.code, str(error)))
        except RecordError as error:
            log.debug("%s: %s", call.peer, error)  # the recorder has said it for all of them
            call.end(Ending(Code.UNAVAILABLE, str(error)))
        finally:
            self._calls.discard(call)

    async def _admit(self, call: Call) -> None:
        try:
            header = StreamHeader.from_metadata(call.metadata)
        except ValueError as error:
            call.end(Ending(Code.INVALID_ARGUMENT, shown(error)))
            return
        peer = Peer(call.peer, _certificate(call), header.agent_id if header else None)
        with self._access.admit(peer, call.end):
            log.debug("%s: stream opened", peer)
            admit_new = partial(self._access.admit_new_line, peer)
            with await self._lines.open(header, call.peer, call.end, admit_new) as stream:
                try:
                    await self._stream(call, stream, peer)
                except TakenError as error:
                    log.warning("%s: %s", peer, error)
                    if header is None or header.session_id == error.session_id:
                        raise
                    call.end(superseded(error.session_id))
                finally:
                    log.debug("%s: stream closed; %s", peer, stream.tally())

    async def _stream(self, call: Call, stream: Stream, peer: Peer) -> None:
        """Answer a call's messages until they end, or one is refused."""
        with self._first_sample_deadline(call, peer):
            messages = await call.read()
        while messages:
            samples, problem = codec.decode(messages)
            while samples:
                answers, refusal = await stream.answer(samples)
                await call.write(codec.encode(answers))
                if refusal:
                    log.warning("%s: %s", peer, refusal, exc_info=refusal.cause)
                    call.end(_ending(refusal))
                    return
                samples = samples[len(answers) :]
            if problem:
                log.warning("%s: %s", peer, problem)
                call.end(Ending(Code.INVALID_ARGUMENT, problem))
                return
            messages = await call.read()

    @contextmanager
    def _first_sample_deadline(self, call: Call, peer: Peer) -> Iterator[None]:
        """End the call of an agent that sends no sample in time while entered."""
        late = Ending(Code.DEADLINE_EXCEEDED, f"no sample within {self._first_sample_s:g} s")
        timer = asyncio.get_running_loop().call_later(self._first_sample_s, call.end, late)
        if peer.agent_id is None:
            timer.cancel()
        try:
            yield
        finally:
            timer.cancel()


def _ending(refusal: Refusal) -> Ending:
    return Ending(refusal.code, str(refusal), ((REFUSED_ID, str(refusal.sample_id)),))


def _certificate(call: Call) -> "Certificate | None":
    """What the peer has shown, if it was asked. DeniedError where that cannot be read."""
    if call.certificate is None:
        return None
    from quartet.certificates import Certificate  # noqa: PLC0415 - costs 20 MB, where there is TLS

    try:
        return Certificate.from_pem(call.certificate)
    except ValueError as error:
        log.warning("%s has a certificate that cannot be read", call.peer)
        raise DeniedError("its certificate cannot be read") from error
