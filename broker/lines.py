"""The lines of all agents: found again, opened, and left to the newest stream."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

from broker.backlog import Backlog
from broker.idle import forget_idle
from broker.line import Bounds, Line
from broker.model import Ending, Standing
from broker.predictors import BlackBox
from broker.recorder import Recorder
from broker.records import Claim, Opened
from broker.restore import Restorer
from broker.stream import Stream
from broker.workers import Inline, Workers
from quartet.clock import Clock
from quartet.plural import counted
from wire.metadata import StreamHeader

log = logging.getLogger(__name__)

_BOUNDS = Bounds()


class Lines:
    """The lines in memory, by agent id. Loop only."""

    def __init__(
        self,
        black_box: BlackBox,
        recorder: Recorder,
        workers: Workers | None = None,
        *,
        bounds: Bounds = _BOUNDS,
        clock: Clock = time,
    ) -> None:
        self._black_box = black_box
        self._recorder = recorder
        self._workers = workers or Inline(clock)
        self._restorer = Restorer(black_box, recorder, self._workers, clock)
        self._backlog = Backlog(clock)
        self._bounds = bounds
        self._clock = clock
        self._lines: OrderedDict[str, Line] = OrderedDict()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def open(
        self,
        header: StreamHeader | None,
        peer: str,
        end: Callable[[Ending], None],
        admit_new: Callable[[], None] = lambda: None,
        certificate_until_ns: int | None = None,
    ) -> Stream:
        """Begin a stream into the agent's line; a plain peer's line is the stream itself.

        Of two live streams of one agent id the newer wins: `end` is called when that is another
        one. `admit_new` is called for an agent that neither memory nor records know; what it
        raises goes on. Raises RecordError.
        """
        if header is None:
            claim = await self._recorder.claim(None, peer)
            return self._stream(self._line(claim), claim, end)
        # In turn, so that the stream that came last is the one that wins.
        async with self._turns.setdefault(header.agent_id, asyncio.Lock()):
            with self._held(header.agent_id):
                claim = await self._claim(header, peer)
            if not claim.has_records and header.agent_id not in self._lines:
                try:
                    admit_new()
                except BaseException:
                    self._recorder.release(claim)
                    raise
            line = self._find(header, claim)
            stream = self._stream(line, claim, end, Opened(certificate_until_ns))
            if line.live:
                log.warning(
                    "%s streams from %s, and now from %s: the newer stream continues",
                    *(header.agent_id, line.live.peer, peer),
                )
                line.live.supersede(header.session_id)
                stream.took_over = True
            line.live = stream
        return stream

    def standing(self, agent_id: str) -> Standing:
        """How an agent's line stands, where it is in memory."""
        line = self._lines.get(agent_id)
        return line.standing if line else Standing()

    def held(self) -> Iterator[Line]:
        """The lines in memory to which nobody else has added, as far as known."""
        return (line for line in self._lines.values() if line.lease.is_good)

    @property
    def alarms(self) -> int:
        """How many lines with an open stream are in alarm."""
        return sum(bool(line.live and line.standing.alarm) for line in self._lines.values())

    @contextmanager
    def _held(self, agent_id: str) -> Iterator[None]:
        """Keep the line in memory meanwhile: it knows more than the records at this moment."""
        line = self._lines.get(agent_id)
        if line is None:
            yield
            return
        line.streams += 1
        try:
            yield
        finally:
            line.streams -= 1

    async def _claim(self, header: StreamHeader, peer: str) -> Claim:
        """A claim that is still good: its lease may have failed on its way here."""
        while not (claim := await self._recorder.claim(header, peer)).lease.is_good:
            self._recorder.release(claim)
        return claim

    def _stream(
        self,
        line: Line,
        claim: Claim,
        end: Callable[[Ending], None],
        opened: Opened | None = None,
    ) -> Stream:
        return Stream(
            line,
            claim,
            end,
            recorder=self._recorder,
            restorer=self._restorer,
            workers=self._workers,
            backlog=self._backlog,
            opened=opened,
        )

    def _line(self, claim: Claim) -> Line:
        return Line(self._black_box.make, claim, self._bounds, self._clock)

    def _find(self, header: StreamHeader, claim: Claim) -> Line:
        """The agent's line: the one in memory, unless that lost its records or its lease."""
        agent_id = header.agent_id
        line = self._lines.get(agent_id)
        if line is None or line.lease is not claim.lease:
            live = line.live if line else None
            self._lines.pop(agent_id, None)
            line = self._line(claim)
            most = self._bounds.rehearsals if line.is_rehearsal else self._bounds.lines
            forget_idle(self._lines, most, lambda other: other.is_rehearsal == line.is_rehearsal)
            self._lines[agent_id] = line
            line.live = live
        self._lines.move_to_end(agent_id)
        if claim.last_id is None:
            if header.first_id and not line.knows(header.session_id):
                log.info(
                    "%s: session %s is new here, and starts at sample %d",
                    *(agent_id, header.session_id, header.first_id),
                )
        elif header.first_id > claim.last_id + 1:
            log.warning(
                "%s: continues with sample %d, but its newest sample on record is %d: %s not on"
                " record between them. Either the agent has dropped them ('agent ledger' shows"
                " that), or the records were restored from a backup",
                *(agent_id, header.first_id, claim.last_id),
                counted(header.first_id - claim.last_id - 1, "sample", "is", "are"),
            )
        return line
