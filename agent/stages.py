"""The agent as a whole: source, sampler, spool, link, sinks; started, watched, stopped in order."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from agent import logs
from agent.clock import WaitableClock
from agent.config import Settings, reloaded
from agent.credentials import Credentials
from agent.inquiry import Inquiry
from agent.labels import told
from agent.link import Link
from agent.metrics import Metrics
from agent.model import Identity
from agent.sampler import Sampler
from agent.sinks import FanOut
from agent.sinks.journal import PredictionLog
from agent.sinks.latch import Latch
from agent.sinks.outputs import add_mqtt, add_outputs
from agent.sinks.status import Light
from agent.sinks.table import PredictionTable
from agent.sinks.view import open_view
from agent.sources import Source
from agent.sources.absent import Absent
from agent.spool.spool import Spool
from agent.state import AlarmState, LinkState, Outcome, Release, line
from agent.summary import Summary
from quartet.errors import QuartetError
from quartet.notify import Notifier
from quartet.plural import counted
from quartet.predictions import Target
from quartet.reload import reconfigured
from quartet.repeat import repeat
from quartet.signals import on_leaving, on_signals

log = logging.getLogger(__name__)

# Together 5 s, what a person at Ctrl-C and systemd at a restart are made to wait
# at the most: for a read to come to its end (asked twice), and for answers.
_JOIN_S = 0.5
_DRAIN_S = 4.0

# Without a source: less than a start may take (TimeoutStartSec=), because the agent is not
# ready. The next start tries the source again, and continues.
_ABSENT_S = 60.0

# Of certificates that expire.
_REMIND_S = 86_400.0

# Often enough to look alive, seldom enough to cost nothing.
_REFRESH_S = 0.125


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the command line asks to see: a CSV of predictions, entries in the journal."""

    predictions: Target | None
    journal: bool
    direct: logs.Direct = field(default_factory=logs.Direct)
    """The way of entries past logging, once that is set up."""


class Agent:
    """The stages, wired. Built and run on the loop; owns the bus thread."""

    def __init__(
        self,
        settings: Settings,
        who: Identity,
        outputs: Outputs,
        *,
        credentials: Credentials,
        source: Source,
        spool: Spool,
        latch: Latch | None,
        clock: WaitableClock,
        reread: Callable[[], Settings] | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        brokers = settings.broker.addresses

        self._settings = settings
        self._clock = clock
        self._reread = reread
        self._notifier = Notifier(clock)
        self._credentials = credentials
        self._source = source
        self._longest_s = _ABSENT_S if isinstance(source, Absent) else None
        self._spool = spool
        spool.describe(told(source.labels))
        self._sampler = Sampler(
            source,
            spool,
            settings.sampling.period_ns,
            clock,
            on_start=lambda: loop.call_soon_threadsafe(self._started),
        )
        self._metrics, self._inquiry = Metrics(), Inquiry(who.agent_id)
        self._sinks = FanOut([self._metrics, self._inquiry], clock)
        if outputs.predictions:
            self._sinks.add(PredictionTable(outputs.predictions, spool.first_sequence))
        to = str(brokers[0]) if len(brokers) == 1 else counted(len(brokers), "broker")
        self._view = open_view(f"{who.agent_id} → {to}", source.labels, clock)
        if self._view:
            self._sinks.add(self._view)
        if outputs.journal or not self._view:
            changes_only = settings.journal.predictions == "changes"
            self._sinks.add(
                PredictionLog(
                    who.agent_id,
                    changes_only=changes_only,
                    send=outputs.direct.send_fields,
                    print_line=outputs.direct.print_line,
                )
            )
        self._latch = latch
        self._alarm = add_outputs(settings.outputs, self._sinks, clock, self._light, latch)
        self._link = Link(
            who,
            brokers,
            settings.link,
            spool,
            self._sinks.emit,
            credentials=credentials,
            proxy=settings.broker.via,
            opened=self._inquiry.opened,
            clock=clock,
        )
        self.summary = Summary(
            who.agent_id,
            source=source,
            sampler=self._sampler,
            spool=spool,
            link=self._link,
            metrics=self._metrics,
            inquiry=self._inquiry,
            sinks=self._sinks,
            alarm=self._alarm,
            latch=latch,
            mqtt=lambda: self._mqtt.standing if self._mqtt else "",
            clock=clock,
        )
        self._mqtt = None
        if (mqtt := settings.outputs.mqtt) and not isinstance(source, Absent):
            self._mqtt = add_mqtt(
                mqtt,
                self._sinks,
                who.agent_id,
                source.labels,
                settings.sampling.period_ns / 1e9,
                state=self.summary.state,
                latest=lambda: spool.latest,
                clock=clock,
            )

        self._is_started = False
        self._bus = threading.Thread(target=self._sample, name="bus", daemon=True)
        self._source_failed = False  # written by: bus thread, read after its end
        self._stop = asyncio.Event()

    async def run(self) -> bool:
        """Sample and stream to the end; whether every sample got its prediction."""
        linking = asyncio.create_task(self._link.run())
        background = [
            asyncio.create_task(self._inquiry.run()),
            asyncio.create_task(repeat(self._credentials.remind, _REMIND_S)),
        ]
        # Each of them wakes the loop: only where somebody sees it.
        if self._notifier.is_heard:
            background.append(asyncio.create_task(repeat(self._pulse, self._notifier.pulse_s)))
        if self._sinks.changes_with_time or self._view:
            background.append(asyncio.create_task(repeat(self._refresh, _REFRESH_S)))
        reload = self._reload if self._reread else None
        leaving = on_leaving(self._view.close) if self._view else contextlib.nullcontext()
        with on_signals(lambda: self._stop_or_end(linking), reload), leaving:
            self._bus.start()
            if self._mqtt:
                self._mqtt.start()
            try:
                await self._until_done(linking)
                self._refresh()
            finally:
                for task in background:
                    task.cancel()
                self._sampler.stop()
                self._bus.join(_JOIN_S)
                self._sinks.close()
                if self._mqtt:
                    await self._mqtt.leave()
        return self.summary.complete and not self._source_failed

    def trouble(self) -> str:
        """Why no samples are taken; empty while they are."""
        if not self._is_started:
            return "no sample has been taken yet"
        if not self._bus.is_alive():
            return "the agent takes no more samples"
        return ""

    def figures(self) -> str:
        """All metrics, in Prometheus' text format."""
        from agent.figures import Figures  # noqa: PLC0415 - so that most agents spare it

        return Figures(
            source=self._source,
            sampler=self._sampler,
            spool=self._spool,
            link=self._link,
            metrics=self._metrics,
            credentials=self._credentials,
        ).text()

    def document(self) -> bytes:
        """The present state, as JSON."""
        return msgspec.json.encode(self.summary.state())

    def release(self, who: str) -> bytes:
        """Let go of the alarm output, where nothing speaks against it; the answer, as JSON."""
        answer = Release(Outcome.NOT_HELD, None, "")
        if self._alarm:
            answer = self._alarm.release(who)
        elif self._latch and (hold := self._latch.hold):
            answer = Release(Outcome.NO_PIN, hold.since_ns, AlarmState.HELD)
        return msgspec.json.encode(answer)

    def _started(self) -> None:
        self._is_started = True
        self._notifier.ready()

    def _sample(self) -> None:
        try:
            self._sampler.run()
        except QuartetError as error:
            self._source_failed = True
            log.error("%s", error)  # noqa: TRY400 - a person's error, without a traceback
        except BaseException:
            self._source_failed = True
            raise

    async def _until_done(self, linking: asyncio.Task[None]) -> None:
        """Wait for the last answer; after a signal, only as long as a drain may take."""
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait(
            (linking, stopping), timeout=self._longest_s, return_when=asyncio.FIRST_COMPLETED
        )
        stopping.cancel()
        self._notifier.stopping()
        if not linking.done():
            self._sampler.stop()
            self._link.hurry()
            log.info("stopping; %s without an answer", counted(self._spool.unanswered, "sample"))
            await asyncio.to_thread(self._bus.join, _JOIN_S)
            self._spool.finish()  # also where a read hangs, so that the link can end
            await asyncio.wait((linking,), timeout=_DRAIN_S)
        linking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await linking

    def _stop_or_end(self, linking: asyncio.Task[None]) -> None:
        """Drain at the first signal, end at the second."""
        if self._stop.is_set():
            linking.cancel()
        self._stop.set()

    def _reload(self) -> None:
        """Take what a running agent can of changed settings, and changed certificates."""
        with self._notifier.reloading():
            if self._reread:
                self._settings = reconfigured(self._settings, self._reread, reloaded)
            logs.set_level(self._settings.log.level)
            if self._alarm and (times := self._settings.outputs.alarm):
                self._alarm.reconfigure(times)
            self._credentials.refresh()

    def _pulse(self) -> None:
        """Tell systemd how it goes, and that all threads live."""
        self._notifier.status(line(self.summary.state()))
        beats_ns = [self._spool.beat_ns]
        if self._bus.is_alive():
            beats_ns.append(self._sampler.beat_ns)
        silence_s = (self._clock.monotonic_ns() - min(beats_ns)) / 1e9
        if silence_s < self._notifier.watchdog_s:
            self._notifier.watchdog()

    def _light(self) -> Light:
        if self._source_failed or self._source.trouble or self._link.state is LinkState.REFUSED:
            return Light.FAULT
        return Light.STREAMING if self._link.state is LinkState.STREAMING else Light.CONNECTING

    def _refresh(self) -> None:
        self._sinks.refresh()
        if self._view:
            self._view.refresh(self.summary.state(), self._spool.latest)
