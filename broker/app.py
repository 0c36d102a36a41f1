"""The broker as a whole: black box, lines, service, transport; started and stopped in order."""

import asyncio
import gc
import logging
import os
import resource
import socket
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from broker.access import Access
from broker.config import Settings, reloaded, store_of
from broker.connections import ConnectionLog
from broker.lines import Lines
from broker.metering import Meter, MeteredRecorder, MeteredWorkers
from broker.predictors import BlackBox
from broker.predictors.load import load
from broker.recorder import Recorder
from broker.recorder.opening import open_recorder
from broker.service import Service
from broker.states import States
from broker.transport import Health, Transport
from broker.transport.h2.transport import H2Transport
from broker.workers import Inline, Threads, Workers
from quartet.address import Address, Place
from quartet.journal import log_to_stderr
from quartet.metrics.listener import bound, serving
from quartet.notify import Notifier
from quartet.plural import counted
from quartet.reload import reconfigured
from quartet.repeat import repeat
from quartet.signals import on_signals
from wire import ADMISSION_METHOD_PATH, METHOD_PATH, STATE_METHOD_PATH

if TYPE_CHECKING:
    from broker.credentials import Credentials
    from broker.metrics import BrokerMetrics

log = logging.getLogger(__name__)

# Streams with answers on their way end in milliseconds; one whose agent does not
# read is cut after this, which leaves a stop well under 5 s.
_STOP_S = 3.0

# Far more than there are streams: those that never finish a handshake are held for 10 s.
_MOST_CONNECTIONS = 65_536

# Between two looks at the health that clients ask for, and at quiet connections.
_PULSE_S = 1.0

# How soon a change of certificates or of the revocation list is taken.
_REFRESH_S = 5.0
_REMIND_S = 86_400.0


def run(settings: Settings, reread: Callable[[], Settings] | None, config: Path | None) -> None:
    """Serve until SIGTERM or SIGINT; at SIGHUP the settings are read again, where that is possible.

    `config` is the file that the settings were read from.
    PredictorError, StoreError or ListenError before anything is served.
    """
    log_to_stderr(settings.log.level)
    _allow_connections()
    black_box = load(settings.predictor.use, settings.predictor.options)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(settings, black_box, reread, config))


async def _run(
    settings: Settings,
    black_box: BlackBox,
    reread: Callable[[], Settings] | None,
    config: Path | None,
) -> None:
    store = store_of(settings, os.environ)
    count = settings.predictor.threads_to_use
    workers: Workers = Threads(count) if count else Inline()
    with bound(settings.metrics) as sockets:
        async with open_recorder(store, settings, black_box.digest) as opened:
            recorder, meter = opened, Meter() if sockets else None
            if meter:
                recorder = MeteredRecorder(recorder, meter)
                workers = MeteredWorkers(workers, meter)
            lines = Lines(black_box, recorder, workers)
            await _serve(*(settings, lines, recorder, reread, config), meter=meter, sockets=sockets)


async def _serve(
    settings: Settings,
    lines: Lines,
    recorder: Recorder,
    reread: Callable[[], Settings] | None,
    config: Path | None,
    *,
    meter: Meter | None,
    sockets: Sequence[socket.socket],
) -> None:
    credentials = _credentials(settings)
    access = Access(settings.access.agents, settings.limits_to_use, credentials)
    connections = ConnectionLog()
    service = Service(lines, access, connections)
    states = States(lines, access)
    address = settings.listen.place
    transport = H2Transport(address, credentials, is_shared=settings.listen.shared)
    notifier = Notifier()
    stop = asyncio.Event()

    def reload() -> None:
        nonlocal settings
        with notifier.reloading():
            if reread:
                settings = reconfigured(settings, reread, reloaded)
            logging.getLogger().setLevel(settings.log.level.upper())
            access.limit(settings.limits_to_use)
            access.admit_only(settings.access.agents)
            if credentials:
                credentials.refresh()

    with on_signals(stop.set, reload if reread else None):
        handlers = {
            METHOD_PATH: meter.timed(service.serve) if meter else service.serve,
            STATE_METHOD_PATH: states.serve,
            ADMISSION_METHOD_PATH: states.serve_admission,
        }
        port = await transport.start(handlers)
        await transport.show(_health(recorder))
        background = _background(
            credentials, access, notifier, lambda: recorder.trouble or _busy(access, lines)
        )
        background.append(asyncio.create_task(show_health(transport, recorder)))
        background.append(asyncio.create_task(repeat(connections.sweep, _PULSE_S)))
        log.info(
            "listening on %s%s, predictor %s",
            Address(address.host, port) if isinstance(address, Address) else address,
            _security(settings, address),
            settings.predictor.use,
        )
        log.info(
            "recorder: %s",
            store_of(settings, os.environ)
            or "in memory, lost when the broker stops; --store PATH keeps records",
        )
        if config:
            log.info("configuration: %s", config)
        figures = meter and _figures(settings, meter, lines, access, recorder, credentials)
        # All that was imported stays. A garbage collection that looks at it holds the loop for
        # 20 to 60 ms; connections that come in crowds bring one about.
        gc.freeze()
        async with serving(sockets, figures.text, figures.trouble) if figures else nullcontext():
            notifier.ready()
            await stop.wait()
        log.info("stopping")
        notifier.stopping()
        for task in background:
            task.cancel()
        await transport.show(Health.NOT_SERVING)
        service.stop()
        states.stop()
        await transport.stop(_STOP_S)
        connections.close()


def _allow_connections() -> None:
    """Have a file descriptor for each: the usual limit is 1024, which a few idle hosts use up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_CONNECTIONS if hard == resource.RLIM_INFINITY else min(hard, _MOST_CONNECTIONS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _credentials(settings: Settings) -> "Credentials | None":
    if settings.tls is None:
        return None
    from broker.credentials import Credentials  # noqa: PLC0415 - costs 20 MB

    return Credentials(settings.tls)


def _figures(  # noqa: PLR0917 - all that has figures
    settings: Settings,
    meter: Meter,
    lines: Lines,
    access: Access,
    recorder: Recorder,
    credentials: "Credentials | None",
) -> "BrokerMetrics":
    from broker.metrics import BrokerMetrics  # noqa: PLC0415 - costs 1 MB

    store = store_of(settings, os.environ)
    return BrokerMetrics(meter, lines, access, recorder, credentials=credentials, store=store)


def _security(settings: Settings, address: Place) -> str:
    if settings.tls is None:
        return "" if address.is_loopback else " WITHOUT TLS"
    if settings.tls.require_client_certificate:
        return " with TLS, for agents with a certificate"
    return " with TLS, for anyone, WITHOUT a certificate"


def _health(recorder: Recorder) -> Health:
    return Health.NOT_SERVING if recorder.trouble else Health.SERVING


async def show_health(transport: Transport, recorder: Recorder) -> None:
    """Tell from now on whether samples can be answered."""
    shown = None
    while True:
        if (health := _health(recorder)) is not shown:
            await transport.show(health)
            shown = health
        await asyncio.sleep(_PULSE_S)


def _busy(access: Access, lines: Lines) -> str:
    """What there is to do."""
    streams = counted(access.streams, "stream")
    return f"{streams}, {lines.alarms} in alarm" if lines.alarms else streams


def _background(
    credentials: "Credentials | None",
    access: Access,
    notifier: Notifier,
    status: Callable[[], str],
) -> list[asyncio.Task[None]]:
    """Tell systemd how it goes; take new certificates, cut off what is revoked, remind."""

    def pulse() -> None:
        notifier.status(status())
        notifier.watchdog()

    def refresh() -> None:
        if credentials:
            credentials.refresh()
        access.sweep()

    calls = [
        (pulse, notifier.pulse_s),
        (refresh, _REFRESH_S),
    ]
    if credentials:
        calls.append((credentials.remind, _REMIND_S))
    return [asyncio.create_task(repeat(call, every_s)) for call, every_s in calls]


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - optional: about twice the throughput where it exists
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
