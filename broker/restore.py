"""Gives a line its black box back: from the latest snapshot and the samples since."""

import asyncio
import functools
import logging
import time
from collections.abc import Sequence
from contextlib import suppress

from broker.errors import RecordError
from broker.line import Line
from broker.model import Sample
from broker.predictors import BlackBox, Predictor, explains, is_stateful
from broker.recorder import Recorder
from broker.records import Basis, Event, EventKind
from broker.relearning import Relearning
from broker.workers import Workers
from quartet.clock import Clock
from quartet.foreign import described
from quartet.plural import counted

log = logging.getLogger(__name__)

# What lines that are restored may delay the others by, however many they are.
_SLICE_S = 0.005


class Restorer:
    """Gives lines their black boxes, from the records where there are any. Loop only."""

    def __init__(
        self,
        black_box: BlackBox,
        recorder: Recorder,
        workers: Workers,
        clock: Clock = time,
        *,
        slice_s: float = _SLICE_S,
    ) -> None:
        self._black_box = black_box
        self._recorder = recorder
        self._workers = workers
        self._clock = clock
        self._slice_s = slice_s
        self._running: dict[Line, asyncio.Task[BaseException | None]] = {}
        # One look at the records at a time: the commits of the others come in between.
        self._reading = asyncio.Lock()
        self._relearning = Relearning()

    async def restore(self, line: Line) -> BaseException | None:
        """Return when the line has its black box; what that raised on being made, else.

        One restore serves all who wait for it, and goes on when they leave. Raises RecordError.
        """
        task = self._running.get(line)
        if task is None:
            task = self._running[line] = asyncio.create_task(self._restore(line))
            task.add_done_callback(lambda done: self._end(line, done))
        return await asyncio.shield(task)

    def _end(self, line: Line, task: "asyncio.Task[BaseException | None]") -> None:
        del self._running[line]
        if not self._running:
            self._relearning.sum_up()
        if not task.cancelled():
            task.exception()  # seen, even if all who waited have left

    async def _restore(self, line: Line) -> BaseException | None:
        while not line.is_ready:
            rebased_by = line.rebased_by
            try:
                replay = await self._workers.run_aside(lambda: _Replay(line.name, self._black_box))
                event = None
                if line.agent_id and line.has_records:
                    event = await self._replay(replay, line.agent_id, line.period_ns)
            except (RecordError, asyncio.CancelledError):
                raise
            except BaseException as error:  # whatever a black box raises
                return error
            async with line.turn:
                if line.rebased_by == rebased_by:  # else what was replayed is void
                    line.install(
                        *(replay.predictor, replay.count, event), takes_over=replay.takes_over
                    )
        return None

    async def _replay(self, replay: "_Replay", agent_id: str, period_ns: int) -> Event:
        """Bring a black box to where it was; what is to be recorded of it."""
        afresh = ""
        basis = await self._basis(agent_id, with_snapshot=True)
        if basis.outdated:
            afresh = "another predictor (code, model or options)"
        begin = functools.partial(replay.begin, basis)
        if not await self._workers.run_aside(begin):
            afresh = "it refused its snapshot"
            basis = await self._basis(agent_id, with_snapshot=False)
        position = basis.position
        while samples := await self._samples(agent_id, position):
            await self._feed(replay, [sample for _, sample in samples])
            position = samples[-1][0]
        if basis.outdated:
            self._relearning.begun(agent_id, replay.predictor, replay.count, period_ns)
        if basis.is_cut:
            afresh = "records were deleted to make room"
            log.warning(
                "%s: its records were deleted to keep the store within recorder.max_bytes: its"
                " predictor starts again with the remaining %s",
                *(agent_id, counted(replay.count, "sample")),
            )
        replayed = f"{counted(replay.count, 'sample')} replayed"
        if basis.is_back:
            replay.takes_over = basis.takes_over
            return _returned(agent_id, basis, replayed)
        if replay.count and not basis.outdated:
            log.info("%s: predictor restored, %s", agent_id, replayed)
        if afresh:
            return Event(EventKind.BEGUN, f"{afresh}; {replayed}")
        return Event(EventKind.RESTORED, replayed)

    async def _basis(self, agent_id: str, *, with_snapshot: bool) -> Basis:
        async with self._reading:
            return await self._recorder.basis(agent_id, with_snapshot=with_snapshot)

    async def _samples(self, agent_id: str, after: int) -> Sequence[tuple[int, Sample]]:
        async with self._reading:
            return await self._recorder.samples(agent_id, after)

    async def _feed(self, replay: "_Replay", samples: Sequence[Sample]) -> None:
        """Replay samples in slices."""
        rest = iter(samples)

        def advance() -> bool:
            """Replay for the length of a slice; whether that was all."""
            end_s = self._clock.monotonic() + self._slice_s
            for sample in rest:
                replay.add(sample)
                if self._clock.monotonic() > end_s:
                    return False
            return True

        while not await self._workers.run_aside(advance):
            pass


def _returned(agent_id: str, basis: Basis, replayed: str) -> Event:
    """Say that a predictor is back, after another one had answered for a while."""
    log.info("%s: the former predictor is back: its snapshot is restored, %s", agent_id, replayed)
    if basis.missing:
        log.warning(
            "%s: %s since that snapshot cannot be replayed, deleted or too many: the predictor has"
            " not seen them, and its predictions may differ",
            *(agent_id, counted(basis.missing, "sample")),
        )
        replayed += f", {basis.missing} missing"
    return Event(EventKind.RESTORED, f"the former predictor is back; {replayed}")


class _Replay:
    """A black box on its way back to where it was."""

    def __init__(self, name: str, black_box: BlackBox) -> None:
        self._name = name
        self._black_box = black_box
        self._raised = False
        self.predictor: Predictor = black_box.make()
        self.count = 0
        self.takes_over = False

    def begin(self, basis: Basis) -> bool:
        """Restore the snapshot, if there is one; whether the basis can be built upon."""
        if basis.snapshot is None:
            return True
        if is_stateful(self.predictor):
            try:
                self.predictor.restore(basis.snapshot)
            except BaseException as error:  # whatever a black box raises
                log.warning(
                    "%s: its predictor refuses its snapshot (%s): it starts again with its latest"
                    " samples",
                    *(self._name, described(error)),
                )
            else:
                return True
        self.predictor = self._black_box.make()
        return False

    def add(self, sample: Sample) -> None:
        """Let the black box see a sample; one that raises is passed over with a fresh instance."""
        self.count += 1
        try:
            self.predictor.predict(sample)
        except BaseException as error:  # whatever a black box raises
            if not self._raised:
                self._raised = True
                log.warning(
                    "%s: its predictor raised %s on the recorded sample %d, and starts again"
                    " after it",
                    *(self._name, described(error), sample.id),
                )
            self.predictor = self._black_box.make()
            return
        if explains(self.predictor):
            with suppress(BaseException):  # as a live broker does, which told the words
                self.predictor.explain()
