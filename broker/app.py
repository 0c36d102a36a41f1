"""The broker as a whole: black box, lines, service, server; started and stopped in order."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from broker.access import Access
from broker.config import Settings, reloaded, store_path
from broker.errors import ListenError
from broker.line import SNAPSHOT_EVERY
from broker.lines import Lines
from broker.predictors.load import load
from broker.recorder import Recorder
from broker.recorder.memory import MemoryRecorder
from broker.recorder.retention import Limits
from broker.recorder.store import Keeping, Store
from broker.service import Service
from broker.workers import Threads
from quartet.address import Address
from quartet.journal import PriorityFormatter, under_systemd
from quartet.notify import Notifier
from quartet.reload import reconfigured
from quartet.repeat import repeat
from quartet.signals import on_signals
from wire import SERVICE

if TYPE_CHECKING:
    from broker.credentials import Credentials

log = logging.getLogger(__name__)

# Streams with answers on their way end in milliseconds; one whose agent does not
# read is cut after this, which leaves a stop well under 5 s.
_STOP_S = 3.0

# Far more than there are streams: those that never finish a handshake are held for 10 s.
_MOST_CONNECTIONS = 65_536

# How often systemd hears a status and, unless it wants it more often, a beat.
_PULSE_S = 1.0

# How soon a change of certificates or of the revocation list is taken.
_REFRESH_S = 5.0
_REMIND_S = 86_400.0

_OPTIONS = [
    # Two brokers on one port would each get some of the agents.
    ("grpc.so_reuseport", 0),
    # A request has at most 31 bytes; nothing larger is one.
    ("grpc.max_receive_message_length", 4096),
    # Nor has a call more metadata than this; beyond the second it is not even told so.
    ("grpc.max_metadata_size", 8192),
    ("grpc.absolute_max_metadata_size", 16_384),
    # Who connects and says nothing, or has no stream any more, goes; an agent always has one.
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 300_000),
    # Agents ping every 20 s, idle or not. Ours find peers that vanished without a word.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]


def run(settings: Settings, reread: Callable[[], Settings] | None) -> None:
    """Serve until SIGTERM or SIGINT; at SIGHUP the settings are read anew, where that is possible.

    PredictorError, StoreError or ListenError before anything is served.
    """
    _log_to_stderr(settings.log.level)
    logging.getLogger("grpc._cython.cygrpc").addFilter(is_news)
    _allow_connections()
    black_box = load(settings.predictor.use, settings.predictor.options)
    with (
        _recorder(settings, black_box.digest) as recorder,
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        count = settings.predictor.threads_to_use
        lines = Lines(black_box, recorder, Threads(count) if count else None)
        runner.run(_serve(settings, lines, reread))


def _log_to_stderr(level: str) -> None:
    form = "%(asctime)s %(levelname)-7s %(message)s"
    handler = logging.StreamHandler()
    handler.setFormatter(PriorityFormatter() if under_systemd() else logging.Formatter(form))
    logging.basicConfig(level=level.upper(), handlers=[handler])


def is_news(record: logging.LogRecord) -> bool:
    """Whether grpc.aio tells more than that a stream was cancelled, at times as an error."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _recorder(settings: Settings, digest: str) -> AbstractContextManager[Recorder]:
    path = store_path(settings, os.environ)
    if path is None:
        return nullcontext(MemoryRecorder())
    of = settings.recorder
    # What comes before a line's first snapshot must be there as a whole.
    replay = max(of.replay, SNAPSHOT_EVERY)
    return Store(path, digest, Keeping(of.sync, replay, Limits(of.max_age_days, of.max_bytes)))


async def _serve(settings: Settings, lines: Lines, reread: Callable[[], Settings] | None) -> None:
    credentials = _credentials(settings)
    access = Access(settings.access.agents, settings.limits, credentials)
    server = grpc.aio.server(options=_OPTIONS)
    service = Service(lines, access)
    healthy = health.aio.HealthServicer()
    server.add_generic_rpc_handlers((service.handler(),))
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    reflection.enable_server_reflection(
        (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    address = Address.parse(settings.listen.address, "listen.address")
    port = _listen(server, address, credentials)
    notifier = Notifier()
    stop = asyncio.Event()
    background = _background(credentials, access, notifier)

    def reload() -> None:
        nonlocal settings
        with notifier.reloading():
            if reread:
                settings = reconfigured(settings, reread, reloaded)
            logging.getLogger().setLevel(settings.log.level.upper())
            access.admit_only(settings.access.agents)
            if credentials:
                credentials.refresh()

    with on_signals(stop.set, reload if reread else None):
        await server.start()
        for name in (SERVICE, ""):
            await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
        log.info(
            "listening on %s%s, predictor %s",
            Address(address.host, port),
            _security(settings, address),
            settings.predictor.use,
        )
        log.info(
            "recorder: %s",
            store_path(settings, os.environ)
            or "in memory, gone with this process; --store PATH keeps it",
        )
        notifier.ready()
        await stop.wait()
        log.info("stopping")
        notifier.stopping()
        for task in background:
            task.cancel()
        await healthy.enter_graceful_shutdown()
        service.stop()
        await server.stop(_STOP_S)


def _allow_connections() -> None:
    """Have a file descriptor for each: the usual limit is 1024, which a few idle hosts use up."""
    try:
        import resource  # noqa: PLC0415 - Unix alone has it
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_CONNECTIONS if hard == resource.RLIM_INFINITY else min(hard, _MOST_CONNECTIONS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _credentials(settings: Settings) -> "Credentials | None":
    if settings.tls is None:
        return None
    from broker.credentials import Credentials  # noqa: PLC0415 - costs 20 MB

    return Credentials(settings.tls)


def _security(settings: Settings, address: Address) -> str:
    if settings.tls is None:
        return "" if address.is_loopback else " WITHOUT TLS"
    if settings.tls.require_client_certificate:
        return " with TLS, for agents with a certificate"
    return " with TLS, for anyone, WITHOUT a certificate"


def _background(
    credentials: "Credentials | None", access: Access, notifier: Notifier
) -> list[asyncio.Task[None]]:
    """Tell systemd how it goes; take new certificates, cut off what is revoked, remind."""

    def pulse() -> None:
        notifier.status(f"{access.streams} streams")
        notifier.watchdog()

    calls = [(pulse, min(_PULSE_S, notifier.watchdog_s / 3 or _PULSE_S))]
    if credentials:
        calls += [
            (credentials.remind, _REMIND_S),
            (credentials.refresh, _REFRESH_S),
            (access.sweep, _REFRESH_S),
        ]
    return [asyncio.create_task(repeat(call, every_s)) for call, every_s in calls]


def _listen(server: grpc.aio.Server, address: Address, credentials: "Credentials | None") -> int:
    try:
        if credentials:
            return server.add_secure_port(str(address), credentials.for_server())
        return server.add_insecure_port(str(address))
    except RuntimeError as error:
        raise ListenError(
            f"cannot listen on {address}: the port is in use, or the address is not this"
            f" machine's; see 'ss -ltnp'"
        ) from error


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    try:
        import uvloop  # noqa: PLC0415 - optional: about twice the throughput where it exists
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
