"""`broker mqtt` as a whole: reads the records, and keeps the MQTT server up to date."""

import asyncio
import contextlib
import logging
import time
from pathlib import Path

from broker.config import Store
from broker.feed import Feed
from broker.feed.remarks import trouble_of
from broker.mqtt.config import ServerSettings
from broker.mqtt.messages import Messages
from broker.recorder.opening import open_reader
from broker.recorder.reader import Reader
from quartet.clock import Clock
from quartet.distribution import version
from quartet.journal import log_to_stderr
from quartet.mqtt.publisher import Leftovers, Publisher
from quartet.notify import Notifier
from quartet.outage import Outage
from quartet.repeat import repeat
from quartet.signals import on_signals

log = logging.getLogger(__name__)

# Between two looks at the records.
_LOOK_S = 0.5

# A look at a slow disk may take minutes. One that takes longer never ends: systemd starts it again.
_STUCK_S = 600.0


def run(server: ServerSettings, store: Store, level: str, config: Path | None) -> None:
    """Publish until SIGTERM or SIGINT. StoreError where the store cannot be read.

    `config` is the file that the settings were read from.
    """
    log_to_stderr(level)
    asyncio.run(_run(server, store, config))


async def _run(server: ServerSettings, store: Store, config: Path | None) -> None:
    reader = open_reader(store, prefers_standby=True)
    if trouble := await trouble_of(store, reader):
        log.warning("%s", trouble)
    log.info("store: %s", store)
    if config:
        log.info("configuration: %s", config)
    messages = Messages(server, version(), time)
    publisher = Publisher(
        server,
        messages.client_id,
        messages.status,
        messages.present,
        leftovers=Leftovers(messages.filter, messages.beside),
    )
    stop = asyncio.Event()
    notifier = Notifier()
    with on_signals(stop.set):
        publisher.start()
        notifier.ready()
        await follow(reader, messages, notifier, stop)
        notifier.stopping()
        await publisher.close()


async def follow(
    reader: Reader, messages: Messages, notifier: Notifier, stop: asyncio.Event, clock: Clock = time
) -> None:
    """Have the messages say what is on record, until stopped."""
    feed, outage = Feed(reader, clock=clock), Outage(log, level=logging.WARNING)
    began_s = clock.monotonic()

    def beat() -> None:
        if clock.monotonic() - began_s < _STUCK_S:
            notifier.watchdog()

    beating = asyncio.create_task(repeat(beat, notifier.pulse_s))
    try:
        while not stop.is_set():
            began_s = clock.monotonic()
            seen = await feed.look()
            if seen.trouble:
                outage.failed("agents are shown as they were last heard: %s", seen.trouble)
            else:
                outage.ended("samples are recorded again")
            messages.take(seen)
            if not seen.is_behind:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        await stop.wait()
    finally:
        beating.cancel()
