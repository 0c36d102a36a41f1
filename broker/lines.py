"""The lines of all agents: found again, opened, and left to the newest stream."""

import asyncio
import logging
from collections import OrderedDict
from weakref import WeakValueDictionary

from broker.line import Line, Session, forget_idle
from broker.predictors import BlackBox
from broker.recorder import Origin, Recorder
from broker.restore import Restorer
from broker.stream import Stream
from broker.threaded_stream import ThreadedStream
from broker.workers import Inline, Threads
from wire.metadata import StreamHeader

log = logging.getLogger(__name__)

# An agent without a stream keeps its line, as long as there are not more lines than this.
_MOST_LINES = 4096


class Lines:
    """The lines in memory, by agent id. Loop only."""

    def __init__(
        self, black_box: BlackBox, recorder: Recorder, threads: Threads | None = None
    ) -> None:
        self._black_box = black_box
        self._recorder = recorder
        self._threads = threads
        self._restorer = (
            Restorer(black_box, recorder.history, threads or Inline()) if recorder.history else None
        )
        self._lines: OrderedDict[str, Line] = OrderedDict()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def open(self, header: StreamHeader | None, peer: str = "") -> Stream:
        """Begin a stream into the agent's line; a plain peer's line is the stream itself.

        Of two live streams of one agent id the newer wins. Raises RecordError.
        """
        if header is None:
            found = await self._recorder.find(None)
            line = Line(self._black_box.make, number=found.line)
            return self._stream(line, Session(found.session), None, peer)
        # In turn, so that the stream that came last is the one that wins.
        async with self._turns.setdefault(header.agent_id, asyncio.Lock()):
            line, session = await self._look_up(header)
            stream = self._stream(line, session, header, peer)
            if line.live:
                log.warning(
                    "%s streams from %s, and now from %s: the newer stream goes on",
                    *(header.agent_id, line.live.peer, peer),
                )
                line.live.supersede(header.session_id)
            line.live = stream
        return stream

    def _stream(
        self, line: Line, session: Session, header: StreamHeader | None, peer: str
    ) -> Stream:
        origin = Origin(
            line.number, session.number, header, peer, self._black_box.digest, line.lease
        )
        wired = line, session, origin, self._recorder, self._restorer
        return ThreadedStream(*wired, threads=self._threads) if self._threads else Stream(*wired)

    async def _look_up(self, header: StreamHeader) -> tuple[Line, Session]:
        """The line and the session of a stream, from memory or from the records."""
        line = self._usable(header.agent_id)
        session = line.session(header.session_id) if line else None
        if line is None or session is None:
            found = await self._recorder.find(header)
            line = self._usable(header.agent_id) or self._begin(header.agent_id, found.line)
            session = Session(found.session, found.last_id)
            line.begin(header.session_id, session)
            if found.last_id is None and header.first_id:
                log.info(
                    "%s: session %s is new here, and joins at sample %d",
                    *(header.agent_id, header.session_id, header.first_id),
                )
        return line, session

    def _usable(self, agent_id: str) -> Line | None:
        """The agent's line, if it is in memory and its records were kept."""
        line = self._lines.get(agent_id)
        if line is None or line.lease.failure:
            return None
        self._lines.move_to_end(agent_id)
        return line

    def _begin(self, agent_id: str, number: int) -> Line:
        """Take a line into memory, in place of one that is void."""
        void = self._lines.pop(agent_id, None)
        forget_idle(self._lines, _MOST_LINES)
        line = self._lines[agent_id] = Line(
            self._black_box.make,
            name=agent_id,
            number=number,
            records=self._restorer is not None,
        )
        line.live = void.live if void else None
        return line
