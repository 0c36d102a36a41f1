"""The console as a whole: store, history, pages, server; started and stopped in order."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

from starlette.requests import Request
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from broker.config import Store
from broker.console import files
from broker.console.api import activity, acts, agent, alarms, download, history, live, me
from broker.console.api.console import Console
from broker.console.book import Book
from broker.console.book.people import People
from broker.console.certificate import ServedCertificate
from broker.console.config import ConsoleSettings, check_users, is_open_to_others, is_wildcard
from broker.console.gate import Gate
from broker.console.mark import Mark
from broker.console.metrics import ConsoleMetrics
from broker.console.present import Numbers, Present
from broker.console.server import bind, serving
from broker.console.signin import SignIn
from broker.recorder.opening import open_reader
from broker.recorder.reader import Reader
from quartet.address import Address
from quartet.clock import Clock
from quartet.errors import NewerSchemaError, OlderSchemaError, StoreError
from quartet.journal import log_to_stderr
from quartet.metrics.listener import bound
from quartet.metrics.listener import serving as serving_metrics
from quartet.notify import Notifier
from quartet.outage import Outage
from quartet.repeat import beside, repeat
from quartet.signals import on_signals

log = logging.getLogger(__name__)

_REFRESH_S = 5.0
_REMIND_S = 86_400.0

# Between two chunks of history: while there is more, and when all is read.
_MORE_S = 0.02
_CAUGHT_UP_S = 1.0

# After a failure.
_AGAIN_S = 5.0

# What runs beside the pages ends within this, or is left.
_STOP_S = 1.0


def run(settings: ConsoleSettings, store: Store, database: Path, config: Path | None) -> None:
    """Serve until SIGTERM or SIGINT. SettingsError, StoreError or ListenError before that.

    `config` is the file that the settings were read from.
    """
    log_to_stderr(settings.log.level)
    asyncio.run(_run(settings, store, database, config))


async def _run(
    settings: ConsoleSettings, store: Store, database: Path, config: Path | None
) -> None:
    certificate = ServedCertificate(settings.tls) if settings.tls else None
    with bound(settings.metrics) as sockets:
        async with opened(settings, store, database) as console:
            figures = ConsoleMetrics(console.present, certificate)
            exposed = serving_metrics(sockets, figures.text, figures.trouble)
            async with exposed if sockets else nullcontext():
                await _serve(settings, console, certificate, database, config)


@asynccontextmanager
async def opened(
    settings: ConsoleSettings, store: Store, database: Path, clock: Clock = time
) -> AsyncIterator[Console]:
    """The parts of a console while entered. SettingsError or StoreError."""
    reader = open_reader(store, prefers_standby=True)
    await _check_store(reader)
    book = await Book.open(database, clock)
    numbers = Numbers(store, settings.predictor)
    try:
        people = People(book.database, clock)
        users = await people.count()
        check_users(settings, users)
        mark = Mark(database) if is_open_to_others(settings) else None
        sign_in = SignIn(
            people,
            is_required=not (settings.address.is_loopback or settings.console.insecure),
            mark=mark,
            is_secure=settings.tls is not None,
            clock=clock,
        )
        if await sign_in.is_needed() and mark and not users:
            log.warning(
                "there have been users, and now there are none, so nobody can sign in: add one with"
                " 'broker console user add NAME'; to serve without sign-in, delete %s",
                mark.path,
            )
        present = Present(reader, book, clock)
        yield Console(reader, book, present, numbers, sign_in, store, asyncio.Event(), clock=clock)
    finally:
        await numbers.close()
        await book.close()


async def _check_store(reader: Reader) -> None:
    """Say what is wrong with the store. StoreError where the console can never read it."""
    try:
        await reader.tail()
    except NewerSchemaError:
        raise
    except OlderSchemaError as error:
        log.warning("%s; until then pages show nothing of it", error)


async def _serve(
    settings: ConsoleSettings,
    console: Console,
    certificate: ServedCertificate | None,
    database: Path,
    config: Path | None,
) -> None:
    sockets = bind(settings.address)
    port = sockets[0].getsockname()[1]
    app = application(console, settings)
    notifier = Notifier()
    tls = certificate.context if certificate else None
    with on_signals(console.stop.set):
        works = _works(console, certificate, notifier)
        async with beside(works, _STOP_S), serving(app, sockets, tls):
            url = _url(settings.address.host, port, is_secure=certificate is not None)
            print(f"broker console: {url}", flush=True)
            log.info("listening on %s", url)
            log.info("store: %s; history, notes and users: %s", console.store, database)
            if config:
                log.info("configuration: %s", config)
            notifier.ready()
            await console.stop.wait()
            log.info("stopping")
            notifier.stopping()


def application(console: Console, settings: ConsoleSettings) -> ASGIApp:
    """All pages and data, behind the gate."""
    nouns = (me, live, agent, history, alarms, download, acts, activity)
    routes = [route for noun in nouns for route in noun.routes(console)]
    router = Router([*files.routes(), *routes], redirect_slashes=False, default=_unknown)
    return Gate(router, _hosts(settings))


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:
    await files.unknown(Request(scope))(scope, receive, send)


def _works(
    console: Console, certificate: ServedCertificate | None, notifier: Notifier
) -> Sequence[Coroutine[None, None, None]]:
    """Read history, follow the present, take new certificates and tell systemd."""
    works = [
        repeat(notifier.watchdog, notifier.pulse_s),
        _lasting("history", lambda: _feed(console)),
        _lasting("the present", console.present.run),
    ]
    if certificate:
        works += [repeat(certificate.refresh, _REFRESH_S), repeat(certificate.remind, _REMIND_S)]
    return works


async def _feed(console: Console) -> None:
    while True:
        if not await console.book.feed(console.reader):
            return await asyncio.sleep(_CAUGHT_UP_S)
        await asyncio.sleep(_MORE_S)


async def _lasting(what: str, work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Repeat a step. A failure is logged at its first time alone, and the step is tried again."""
    outage = Outage(log)
    while True:
        try:
            await work()
            outage.ended("%s is read again", what)
        except StoreError as error:
            outage.failed("%s cannot be read: %s; trying again", what, error)
            await asyncio.sleep(_AGAIN_S)
        except Exception:
            log.exception("internal error: please report it")
            await asyncio.sleep(_AGAIN_S)


def _hosts(settings: ConsoleSettings) -> Sequence[str]:
    """The names by which browsers may ask, beside those of this machine alone."""
    own = [] if is_wildcard(settings.address) else [settings.address.host]
    return [*settings.console.hosts, *own]


def _url(host: str, port: int, *, is_secure: bool) -> str:
    scheme = "https" if is_secure else "http"
    return f"{scheme}://{Address(host, port)}/"
