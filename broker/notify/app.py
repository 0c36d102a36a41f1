"""The notifications as a whole: store, file, receivers; started and stopped in order."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from broker.config import Store
from broker.feed import Feed, Look
from broker.feed.remarks import trouble_of
from broker.notify.ages import Ages
from broker.notify.config import Settings
from broker.notify.courier import Courier
from broker.notify.gathering import Gathering
from broker.notify.outbox import Outbox, Place
from broker.notify.receivers import receivers, renamed
from broker.notify.target import Target
from broker.recorder.opening import open_reader
from broker.recorder.reader import Reader
from quartet.clock import Clock
from quartet.errors import StoreError
from quartet.foreign import shown
from quartet.journal import log_to_stderr
from quartet.lock import FileLock
from quartet.notify import Notifier
from quartet.outage import Outage
from quartet.plural import counted
from quartet.repeat import beside, repeat
from quartet.signals import on_signals

log = logging.getLogger(__name__)

LOOK_S = 0.5

# How long a place may wait to be saved where nothing happens: less to read after a restart.
_SAVE_S = 60.0

# After a failure that nobody expects.
_AGAIN_S = 60.0

# What is under way ends within this, or is left: it is sent again at the next start.
_STOP_S = 2.0


def run(settings: Settings, store: Store, database: Path, config: Path | None) -> None:
    """Tell until SIGTERM or SIGINT. SettingsError or StoreError before that.

    `config` is the file that the settings were read from.
    """
    log_to_stderr(settings.log.level)
    asyncio.run(_run(settings, store, database, config))


class Notifications:
    """From the store to the file of unsent messages. Loop only."""

    def __init__(
        self,
        feed: Feed,
        gathering: Gathering,
        outbox: Outbox,
        *,
        couriers: Sequence[Courier],
        ages: Ages,
        clock: Clock,
    ) -> None:
        self._feed = feed
        self._gathering = gathering
        self._outbox = outbox
        self._couriers = couriers
        self._ages = ages
        self._clock = clock
        self._saved_s = float("-inf")
        self._trouble = Outage(log, clock, level=logging.WARNING)
        self._file = Outage(log, clock)
        self._has_news = False
        """Whether events came since the place was saved."""

    async def step(self) -> Look:
        """Look once, and keep what is to be sent."""
        seen = await self._feed.look()
        if seen.trouble:
            self._trouble.failed("%s", seen.trouble)
        else:
            self._trouble.ended("samples are recorded")
        too_old = self._gathering.take(seen.events, self._clock.time_ns())
        if too_old:
            log.info("%s: too old to be told", counted(too_old, "event"))
        self._has_news |= bool(seen.events)
        await self._save()
        return seen

    async def _save(self) -> None:
        """Keep place and messages together, so that no end of the process loses an event."""
        now_s = self._clock.monotonic()
        due = self._gathering.due(now_s)
        self._ages.note(due)
        is_due = self._has_news or self._file.is_on or now_s - self._saved_s >= _SAVE_S
        if not (due or is_due):
            return
        place = Place(self._feed.mark(), self._gathering.kept())
        try:
            joined = await self._outbox.save(place, due)
        except StoreError as error:
            self._file.failed("%s: messages are sent from memory; trying again", error)
            return
        finally:
            for courier in self._couriers if due else ():
                courier.wake()
        self._file.ended("%s can be written again", self._outbox.path)
        if joined:
            waiting = counted(joined, "old message", "was", "were")
            log.warning("a receiver is away for long: %s put together", waiting)
        self._saved_s, self._has_news = now_s, False


@asynccontextmanager
async def opened(
    settings: Settings,
    reader: Reader,
    database: Path,
    targets: Sequence[Target],
    clock: Clock = time,
) -> AsyncIterator[tuple[Notifications, Sequence[Courier]]]:
    """The parts while entered. StoreError."""
    try:
        lock = FileLock(database.with_name(f"{database.name}.lock"))
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{database}: cannot be locked: {error.strerror}", database) from error
    try:
        outbox = Outbox(database, [target.name for target in targets], renamed(settings))
        try:
            place, ages = await outbox.place(), Ages(clock)
            feed, gathering = _continued(settings, reader, place, clock)
            hours = settings.notify.max_age_h
            couriers = [
                Courier(outbox, target, ages, max_age_h=hours, clock=clock) for target in targets
            ]
            if count := await outbox.count():
                log.info("%s from before", counted(count, "unsent message"))
            told = Notifications(feed, gathering, outbox, couriers=couriers, ages=ages, clock=clock)
            yield told, couriers
        finally:
            await outbox.close()
    finally:
        lock.close()


def _continued(
    settings: Settings, reader: Reader, place: Place, clock: Clock
) -> tuple[Feed, Gathering]:
    try:
        return Feed(reader, place.mark, clock), Gathering(settings.notify, place.held)
    except ValueError as error:
        log.warning("it is not known where the last run ended: %s; it starts now", shown(error))
        return Feed(reader, clock=clock), Gathering(settings.notify)


async def _run(settings: Settings, store: Store, database: Path, config: Path | None) -> None:
    targets = receivers(settings)
    reader = open_reader(store, prefers_standby=True)
    if trouble := await trouble_of(store, reader):
        log.warning("%s; until then there are no messages on it", trouble)
    stop = asyncio.Event()
    async with opened(settings, reader, database, targets) as (notifications, couriers):
        with on_signals(stop.set):
            notifier = Notifier()
            works = [repeat(notifier.watchdog, notifier.pulse_s), *map(_lasting, couriers)]
            async with beside(works, _STOP_S):
                await notifications.step()
                log.info("store: %s; unsent messages: %s", store, database)
                log.info("receivers: %s", ", ".join(target.name for target in targets))
                if config:
                    log.info("configuration: %s", config)
                notifier.ready()
                await _until(stop, notifications)
                log.info("stopping")
                notifier.stopping()


async def _until(stop: asyncio.Event, notifications: Notifications) -> None:
    while not stop.is_set():
        seen = await notifications.step()
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if seen.is_behind else LOOK_S):
                await stop.wait()


async def _lasting(courier: Courier) -> None:
    while True:
        try:
            await courier.run()
        except Exception:
            log.exception("internal error: please report it")
            await asyncio.sleep(_AGAIN_S)
