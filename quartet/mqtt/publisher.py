"""Keeps an MQTT server up to date: connects, tells what changed, and connects again."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from quartet.backoff import Backoff
from quartet.clock import Clock
from quartet.mqtt.cause import MqttServerError, not_allowed
from quartet.mqtt.connection import Connection, Messages, Received, connected
from quartet.mqtt.topics import OFFLINE, ONLINE
from quartet.outage import Outage
from quartet.settings import MqttServer

log = logging.getLogger(__name__)

# Between two looks at what there is to tell.
_LOOK_S = 1.0

_BACKOFF_MIN_S = 1.0
_BACKOFF_MAX_S = 60.0

# A connection that lasts less is tried again ever later: two clients of one id end each other's.
_LASTING_S = 30.0

# For "offline" and the end of the connection, at a stop.
_GOODBYE_S = 1.0


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What an earlier run may have left on the server, to be taken away unless it is wanted."""

    filter: str
    """The topics to look at; + stands for one level."""
    beside: Callable[[str], Iterable[str]]
    """All topics that go with one of them."""


class Publisher:
    """Publishes what has changed since the last look, each second at most. Loop only; one task.

    There is no queue: a server that is slow or away costs messages, never memory or the
    caller's time. On a new connection, and when Home Assistant starts, all is published again.
    """

    def __init__(
        self,
        server: MqttServer,
        client_id: str,
        status: str,
        messages: Callable[[], Messages | None],
        *,
        leftovers: Leftovers | None = None,
        last: Callable[[], Messages] = dict,
        clock: Clock = time,
        look_s: float = _LOOK_S,
        backoff: Backoff | None = None,
    ) -> None:
        """`status` is the topic of "online", and of "offline" by the will.

        `messages` gives all else that the server is to keep now; None: that is not known yet.
        `last` gives what it is to keep after close().
        """
        self._server = server
        self._client_id = client_id
        self._status = status
        self._messages = messages
        self._leftovers = leftovers
        self._last = last
        self._clock = clock
        self._look_s = look_s
        chance = random.Random()  # noqa: S311 - waits are no secret
        self._backoff = backoff or Backoff(_BACKOFF_MIN_S, _BACKOFF_MAX_S, chance)
        self._outage = Outage(log, clock)
        self._said = ""
        self._is_told = False  # of the present outage, as a warning
        self._is_known = False
        self._is_refusal_said = False
        self._trouble = ""
        self._refusal = ""  # of this connection
        self._told: dict[str, bytes] = {}  # on this connection
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect and publish from now on, until close()."""
        self._task = asyncio.create_task(self._run())

    @property
    def standing(self) -> str:
        """The server, and whether it is told, in words."""
        where = self._server.address
        if trouble := self._trouble or self._refusal:
            return f"{where}: {trouble}"
        return f"publishing to {where}" if self._is_known else f"connecting to {where}"

    async def close(self) -> None:
        """Say "offline", and end; within a second."""
        self._closing.set()
        if self._task:
            await asyncio.wait((self._task,), timeout=_GOODBYE_S)
            self._task.cancel()

    async def _run(self) -> None:
        while not self._closing.is_set():
            since_s = self._clock.monotonic()
            try:
                async with connected(
                    self._server, self._client_id, (self._status, OFFLINE)
                ) as connection:
                    await self._serve(connection)
            except MqttServerError as error:
                if self._clock.monotonic() - since_s > _LASTING_S:
                    self._backoff.reset()
                    self._said = ""
                self._failed(error)
            except Exception:
                log.exception("internal error: please report it")
            await self._rest(self._backoff.next_s())

    async def _serve(self, connection: Connection) -> None:
        left = self._leftovers
        self._told.clear()
        self._refusal = ""
        await connection.subscribe([self._birth, *([left.filter] if left else [])])
        tasks = [
            asyncio.create_task(self._listen(connection)),
            asyncio.create_task(self._tell(connection)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, connection: Connection) -> None:
        async for message in connection.received():
            if message.topic != self._birth:
                self._find(message)
            elif message.payload == ONLINE and not message.is_kept:
                self._told.clear()

    def _find(self, message: Received) -> None:
        """Note what the server has kept from an earlier run; in effect it was told already."""
        if self._leftovers and message.is_kept and message.payload:
            for topic in self._leftovers.beside(message.topic):
                self._told.setdefault(topic, message.payload)

    async def _tell(self, connection: Connection) -> None:
        while not self._closing.is_set():
            await self._tell_news(connection)
            self._worked()
            await self._rest(self._look_s)
        await connection.publish({**self._last(), self._status: OFFLINE})

    async def _tell_news(self, connection: Connection) -> None:
        """Publish what differs from what was told; nothing, where something was and is no more."""
        messages = self._messages()
        wanted = {self._status: ONLINE, **(messages or {})}
        gone = self._told.keys() - wanted.keys() if messages is not None else ()
        all_ = {**wanted, **dict.fromkeys(gone, b"")}
        told = self._told
        news = {topic: said for topic, said in all_.items() if told.get(topic) != said}
        if news:
            told |= news  # before: Home Assistant may start meanwhile
            if await connection.publish(news):
                self._refused(not_allowed(self._server))

    @property
    def _birth(self) -> str:
        """Where Home Assistant says that it has started."""
        return f"{self._server.discovery_prefix}/status"

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    def _refused(self, error: MqttServerError) -> None:
        """Say it once: rights rarely change while this runs."""
        self._refusal = str(error)
        if not self._is_refusal_said:
            self._is_refusal_said = True
            log.warning("MQTT server %s: %s", self._server.address, error)

    def _failed(self, error: MqttServerError) -> None:
        """Say each cause once, until a connection has lasted."""
        self._trouble = str(error)
        self._outage.begin()
        is_new = error.text != self._said
        self._is_told, self._said = self._is_told or is_new, error.text
        level = logging.WARNING if is_new else logging.DEBUG
        log.log(level, "MQTT server %s: %s; trying again", self._server.address, error)

    def _worked(self) -> None:
        if self._is_told:
            self._outage.ended("MQTT server %s: connected again", self._server.address)
        elif not self._is_known:
            log.info("publishing to the MQTT server %s", self._server.address)
        elif self._outage.is_on:  # nobody heard of its beginning
            self._outage = Outage(log, self._clock)
        self._is_told, self._is_known = False, True
        self._trouble = ""
