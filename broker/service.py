"""The life of a call: admitted, opened, answered, ended. No decisions, no transport library."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from broker import codec
from broker.access import Access, Peer, certificate_of
from broker.connections import ConnectionLog
from broker.errors import AccessError, LostError, RecordError, TakenError
from broker.labels import LabelCheck
from broker.lines import Lines
from broker.model import Code, Ending, Refusal
from broker.records import ENDED_BY_AGENT, MAX_NS, Event, EventKind
from broker.stream import Stream, superseded
from broker.transport import Call
from quartet.foreign import shown
from wire.metadata import REFUSED_ID, SUPERSEDED_BY, StreamHeader

if TYPE_CHECKING:
    from quartet.certificates import Certificate

log = logging.getLogger(__name__)

# An agent opens a stream with its first sample. A plain peer may have none yet.
_FIRST_SAMPLE_S = 60.0

# Why a stream ends where nobody on our side says so. Of a process that dies, its system closes the
# connection, which may look like ENDED_BY_AGENT or the first one.
_BROKEN = "the connection broke"
_FAILED = "the broker failed"

_STOPPING = Ending(Code.UNAVAILABLE, "the broker is stopping")


class _End:
    """Ends a call, and knows why: the first reason is the one that holds."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.ending: Ending | None = None

    def __call__(self, ending: Ending) -> None:
        self.ending = self.ending or ending
        self._call.end(ending)

    def event(self, otherwise: str) -> Event:
        """How the stream ended, to be recorded."""
        if self.ending is None:
            return Event(EventKind.ENDED, otherwise)
        is_superseded = any(key == SUPERSEDED_BY for key, _ in self.ending.trailing)
        kind = EventKind.SUPERSEDED if is_superseded else EventKind.ENDED
        return Event(kind, f"{self.ending.reason} ({self.ending.code.name})")


class Service:
    """Serves BidirectionalStreaming, a call at a time of each peer. Loop only.

    Whoever has a reason to end a call gives it to `Call.end`, at any time: the first one wins,
    and what was received before is still answered.
    """

    def __init__(
        self,
        lines: Lines,
        access: Access,
        connections: ConnectionLog | None = None,
        *,
        first_sample_s: float = _FIRST_SAMPLE_S,
    ) -> None:
        self._lines = lines
        self._access = access
        self._connections = connections or ConnectionLog()
        self._first_sample_s = first_sample_s
        self._labels = LabelCheck()
        self._calls: dict[Call, _End] = {}
        self._is_stopping = False

    def stop(self) -> None:
        """End all calls, also those that still come, with UNAVAILABLE."""
        self._is_stopping = True
        for end in self._calls.values():
            end(_STOPPING)

    async def serve(self, call: Call) -> None:
        """Serve one call to its end."""
        end = self._calls[call] = _End(call)
        if self._is_stopping:
            end(_STOPPING)
        try:
            await self._admit(call, end)
        except AccessError as error:
            end(Ending(error.code, str(error)))
        except RecordError as error:
            log.debug("%s: %s", call.peer, error)  # the recorder has said it for all of them
            end(Ending(Code.UNAVAILABLE, str(error)))
        finally:
            del self._calls[call]

    async def _admit(self, call: Call, end: _End) -> None:
        try:
            header = StreamHeader.from_metadata(call.metadata)
        except ValueError as error:
            end(Ending(Code.INVALID_ARGUMENT, shown(error)))
            return
        peer = Peer(
            call.peer,
            certificate_of(call.certificate, call.peer),
            header.agent_id if header else None,
            is_rehearsal=header is not None and header.is_rehearsal,
        )
        until_ns = _expiry_ns(peer.certificate) if peer.certificate else None
        with self._access.admit(peer, end):
            header = header and self._labels.checked(header)
            admit_new = partial(self._access.admit_new_line, peer)
            opening = self._lines.open(header, call.peer, end, admit_new, until_ns)
            with await opening as stream, self._told(peer, stream, end):
                try:
                    await self._stream(call, end, stream, peer)
                except TakenError as error:
                    log.warning("%s: %s", peer, error)
                    if header is None or header.session_id == error.session_id:
                        raise
                    end(superseded(error.session_id))

    async def _stream(self, call: Call, end: _End, stream: Stream, peer: Peer) -> None:
        """Answer a call's messages until they end, or one is refused."""
        with self._first_sample_deadline(end, peer):
            messages = await call.read()
        if messages:  # the deadline above has nothing to do with a wait for room
            await stream.room()
        while messages:
            samples, problem = codec.decode(messages)
            while samples:
                answers, refusal = await stream.answer(samples)
                await call.write(codec.encode(answers))
                if refusal:
                    log.warning("%s: %s", peer, refusal, exc_info=refusal.cause)
                    end(_ending(refusal))
                    return
                samples = samples[len(answers) :]
            if problem:
                log.warning("%s: %s", peer, problem)
                end(Ending(Code.INVALID_ARGUMENT, problem))
                return
            del messages, answers  # of a backlog, they would stay as long as the stream is idle
            messages = await call.read(stream.room)

    @contextmanager
    def _told(self, peer: Peer, stream: Stream, end: _End) -> Iterator[None]:
        """Log that a stream begins and how it ends, and have that recorded."""
        self._connections.opened(peer)
        otherwise = ENDED_BY_AGENT
        try:
            yield
        except RecordError as error:
            otherwise = str(error)
            raise
        except (asyncio.CancelledError, LostError):
            otherwise = _BROKEN
            raise
        except BaseException:
            otherwise = _FAILED
            raise
        finally:
            stream.ended = end.event(otherwise)
            self._connections.ended(
                peer,
                f"{stream.ended.text}; {stream.tally()}",
                in_order=end.ending is None and otherwise == ENDED_BY_AGENT,
            )

    @contextmanager
    def _first_sample_deadline(self, end: _End, peer: Peer) -> Iterator[None]:
        """End the call of an agent that sends no sample in time while entered."""
        late = Ending(Code.DEADLINE_EXCEEDED, f"no sample within {self._first_sample_s:g} s")
        timer = asyncio.get_running_loop().call_later(self._first_sample_s, end, late)
        if peer.agent_id is None:
            timer.cancel()
        try:
            yield
        finally:
            timer.cancel()


def _expiry_ns(certificate: "Certificate") -> int:
    """When it expires, in Unix ns; some never do, and say so with the year 9999."""
    return min(int(certificate.not_after.timestamp()) * 10**9, MAX_NS)


def _ending(refusal: Refusal) -> Ending:
    return Ending(refusal.code, str(refusal), ((REFUSED_ID, str(refusal.sample_id)),))
