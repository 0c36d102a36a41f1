"""A stream whose black box works in threads."""

import asyncio
import logging
from collections.abc import Sequence

from broker.errors import BrokerError
from broker.line import Line, Session
from broker.model import Answer, Sample
from broker.recorder import Batch, Origin, Recorder
from broker.restore import Restorer
from broker.stream import Stream
from broker.workers import Threads

log = logging.getLogger(__name__)

# The reply deadline of an agent, after which it tries again.
_SLOW_S = 10.0


class ThreadedStream(Stream):
    """As a Stream, on the loop; its slices are worked on elsewhere, in the order of the line.

    What a thread has begun is ended and recorded even if the stream is cut meanwhile: the black
    box has seen those samples. So the stream leaves its line only then.
    """

    def __init__(
        self,
        line: Line,
        session: Session,
        origin: Origin,
        recorder: Recorder,
        restorer: Restorer | None,
        *,
        threads: Threads,
    ) -> None:
        super().__init__(line, session, origin, recorder, restorer)
        self._threads = threads
        self._working: asyncio.Task[BrokerError | None] | None = None

    def __exit__(self, *_: object) -> None:
        if self._working and not self._working.done():
            self._give_up()
            self._working.add_done_callback(lambda _: self._leave())
        else:
            self._leave()

    def _are_enough(self, answers: Sequence[Answer], samples: Sequence[Sample]) -> bool:
        return bool(answers) or not samples

    async def _turn(self, samples: Sequence[Sample], answers: list[Answer]) -> BrokerError | None:
        await self.line.turn.acquire()  # who is cut before that has begun nothing
        self._working = asyncio.create_task(self._work(samples, answers))
        self._working.add_done_callback(self._see)
        return await asyncio.shield(self._working)

    async def _work(self, samples: Sequence[Sample], answers: list[Answer]) -> BrokerError | None:
        batch = Batch(self._origin)
        watch = asyncio.get_running_loop().call_later(_SLOW_S, self._warn, samples[len(answers)].id)
        try:
            obstacle = await self._threads.run(lambda: self._advance(samples, answers, batch))
        finally:
            watch.cancel()
        await self._record(batch)
        return obstacle

    def _warn(self, sample_id: int) -> None:
        log.warning(
            "%s: its black box has not answered for %g s, at sample %d or soon after it: where all"
            " threads are so busy, no line is answered",
            *(self.line.name or "a plain peer", _SLOW_S, sample_id),
        )

    def _see(self, task: "asyncio.Task[BrokerError | None]") -> None:
        """Let the next come to its turn; note what was raised, even if all who waited have left."""
        self.line.turn.release()
        if not task.cancelled():
            task.exception()
