"""Looks at the records twice a second, and holds what every page is told of the present."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

from broker.console.present.fleet import Fleet, Picture
from broker.console.present.ring import WINDOW_NS, Ring
from broker.console.present.rounding import ms, ms_or_none
from broker.console.present.seams import AlarmBook
from broker.console.present.subscription import Moment, Subscription
from broker.recorder.reader import PlainAccount, Reader, RecordedSample
from quartet.clock import Clock
from quartet.errors import StoreError
from quartet.outage import Outage

log = logging.getLogger(__name__)

# Between two looks, for somebody and for nobody. An agent is late after 3 s.
_LOOK_S = 0.5
_IDLE_LOOK_S = 1.0
# And at least, where a look takes long.
_REST_S = 0.1

# Shortest time between two looks at all lines, and the part of the time that they take at most:
# 1,000 lines take half a second.
_LINES_S = 2.0
_IDLE_LINES_S = 10.0
_LINES_SHARE = 10

# What single lines may take of a look: those whose answer has turned.
_SINGLE_S = 0.05
# And what the last minutes of agents that are newly watched may take.
_FILL_S = 0.2

# Of samples in one look. More is a backlog, of which the present is the end.
_MOST_NEWS = 10_000

# Of agents whose samples are held.
_MOST_RINGS = 300
_MOST_IN_RING = 10_000
# So long after the last page that watched: another one may ask at once.
_RING_S = 10.0


class Present:
    """The fleet now, and the streams that are told of it. Loop only."""

    def __init__(self, reader: Reader, book: AlarmBook, clock: Clock = time) -> None:
        self._reader = reader
        self._book = book
        self._clock = clock
        self._fleet = Fleet(clock)
        self._cursor: str | None = None
        self._served_since_ns: int | None = None
        self._plain = PlainAccount(0, 0, 0)
        self._history = ""
        self._trouble = ""
        self._outage = Outage(log, clock)
        self._pending: dict[str, None] = {}
        """Agents whose line is to be looked at, in the order of their need."""
        self._lines_at_s = float("-inf")
        self._lines_took_s = 0.0
        self._subscriptions: WeakSet[Subscription] = WeakSet()
        self._rings: dict[str, Ring] = {}
        self._watched_at_s: dict[str, float] = {}
        self._looked_at_s = float("-inf")
        self._wanted = asyncio.Event()
        self._looked = asyncio.Event()
        self.moment = Moment(0, 0.0, self._store(Picture()), {}, Picture())
        """After the latest look."""

    async def run(self) -> None:
        """Look again and again, until cancelled; also when a look fails, which is logged."""
        while True:
            began_s = self._clock.monotonic()
            self._wanted.clear()
            try:
                await self.look()
            except Exception:
                log.exception("internal error: please report it")
            took_s = self._clock.monotonic() - began_s
            every_s = _LOOK_S if self._is_watched else _IDLE_LOOK_S
            try:
                async with asyncio.timeout(max(_REST_S, every_s - took_s)):
                    await self._wanted.wait()
            except TimeoutError:
                pass

    def fleet(self) -> dict[str, Any]:
        """All that there is to tell of all agents, without samples."""
        told = self.moment
        fast = {agent_id: self.fast(agent_id) for agent_id in told.picture.rows}
        return {**told.whole(), "fast": fast, "samples": {}}

    def subscribe(self, watch: frozenset[str]) -> Subscription:
        """The ticks of a new stream, with the samples of these agents. Close it at its end."""
        subscription = Subscription(self, watch)
        self._subscriptions.add(subscription)
        self._wanted.set()
        return subscription

    async def look(self) -> None:
        """Ask what is new, once, and tell it."""
        turn = self.moment.turn + 1
        try:
            await self._ask(turn)
        except StoreError as error:
            self._trouble = str(error)
            self._outage.failed("%s; the console shows the last records", error)
        else:
            self._trouble = ""
            self._outage.ended("the store can be read again")
        await self._ask_book()
        now_ns = self._clock.time_ns()
        picture = self.moment.picture
        if not self._trouble:
            picture, fallen = self._fleet.look(self._served_since_ns, picture)
            self._pending.update(dict.fromkeys(fallen))
        for ring in self._rings.values():
            ring.forget(now_ns)
        plain = {"streams": self._plain.streams, "answered": self._plain.answered}
        self.moment = Moment(turn, ms(now_ns), self._store(picture), plain, picture)
        self._looked_at_s = self._clock.monotonic()
        self._looked.set()
        self._looked = asyncio.Event()

    @property
    def trouble(self) -> str:
        """Why the store cannot be read; empty when it can."""
        return self._trouble

    @property
    def pages(self) -> int:
        """The number of streams that are told."""
        return sum(each.is_open for each in self._subscriptions)

    # What a subscription asks

    @property
    def is_fresh(self) -> bool:
        """Whether the latest look was a moment ago."""
        return self._clock.monotonic() - self._looked_at_s < _IDLE_LOOK_S + _LOOK_S

    def fast(self, agent_id: str) -> Mapping[str, Any]:
        """What changes with each sample of an agent that there is."""
        return self._fleet.fast(agent_id)

    def ring(self, agent_id: str) -> Ring | None:
        """The last minute of an agent, where it is held."""
        return self._rings.get(agent_id)

    async def next_look(self) -> None:
        """Return after the next look."""
        await self._looked.wait()

    # The records

    @property
    def _is_watched(self) -> bool:
        return any(each.is_open for each in self._subscriptions)

    async def _ask(self, turn: int) -> None:
        self._served_since_ns = await self._reader.served_since()
        if self._cursor is None:
            self._cursor = await self._reader.tail()
        await self._hear(turn)
        if self._are_lines_due():
            await self._ask_lines()
        await self._ask_single_lines()
        await self._fill(turn)

    async def _hear(self, turn: int) -> None:
        """Take in the samples that are new."""
        heard = await self._news()
        self._pending.update(dict.fromkeys(self._fleet.hear(heard)))
        for agent_id, ring in self._rings.items():
            ring.add(heard.get(agent_id, ()), turn)

    async def _news(self) -> dict[str, list[RecordedSample]]:
        """New samples by agent."""
        before = self._cursor or ""
        try:
            news = await self._reader.news(before, _MOST_NEWS)
        except ValueError:  # another store is there, of another kind
            await self._begin_again()
            return {}
        if len(news.samples) == _MOST_NEWS:
            await self._begin_again()
            return {}
        if not news.samples and news.cursor == before and await self._is_beyond(before):
            await self._begin_again()
            return {}
        self._cursor = news.cursor
        heard: dict[str, list[RecordedSample]] = {}
        for sample in news.samples:
            heard.setdefault(sample.agent_id, []).append(sample)
        return heard

    async def _is_beyond(self, cursor: str) -> bool:
        """Whether a cursor behind which there is nothing is not the end: the store was replaced."""
        if await self._reader.tail() == cursor:
            return False
        again = await self._reader.news(cursor, 1)  # else a sample came between the questions
        return again.cursor == cursor

    async def _begin_again(self) -> None:
        """Go on from the end of the records, whatever lies between."""
        self._cursor = await self._reader.tail()
        self._lines_at_s = float("-inf")

    def _are_lines_due(self) -> bool:
        every_s = _LINES_S if self._is_watched else _IDLE_LINES_S
        pause_s = max(every_s, (_LINES_SHARE - 1) * self._lines_took_s)
        return self._clock.monotonic() - self._lines_at_s >= pause_s

    async def _ask_lines(self) -> None:
        began_s = self._clock.monotonic()
        self._fleet.take(await self._reader.lines())
        self._plain = await self._reader.plain()
        self._lines_at_s = self._clock.monotonic()
        self._lines_took_s = self._lines_at_s - began_s
        self._pending.clear()

    async def _ask_single_lines(self) -> None:
        """Look at the lines that changed, as far as the time goes; at the others next time."""
        end_s = self._clock.monotonic() + _SINGLE_S
        while self._pending and self._clock.monotonic() <= end_s:
            agent_id = next(iter(self._pending))
            self._fleet.take_one(agent_id, await self._reader.line(agent_id))
            del self._pending[agent_id]

    async def _fill(self, turn: int) -> None:
        """Hold the samples of watched agents, from the last minute on; of nobody else."""
        now_s = self._clock.monotonic()
        watched = {each for some in self._subscriptions if some.is_open for each in some.watch}
        self._watched_at_s.update(dict.fromkeys(watched, now_s))
        for agent_id in [
            each for each, at_s in self._watched_at_s.items() if now_s - at_s > _RING_S
        ]:
            del self._watched_at_s[agent_id]
            self._rings.pop(agent_id, None)
        for agent_id in sorted(watched & self._fleet.agent_ids):
            if agent_id in self._rings or len(self._rings) >= _MOST_RINGS:
                continue
            if self._clock.monotonic() > now_s + _FILL_S:
                break
            since_ns = self._clock.time_ns() - WINDOW_NS
            samples = await self._reader.recent(agent_id, since_ns, _MOST_IN_RING)
            ring = self._rings[agent_id] = Ring()
            ring.fill(samples, turn)

    async def _ask_book(self) -> None:
        try:
            read_at_s = self._book.read_at_s  # first: what is asked then is as new at least
            self._fleet.note(await self._book.open_alarms(), read_at_s)
            self._history = await self._book.behind()
        except StoreError as error:
            self._history = str(error)

    def _store(self, picture: Picture) -> dict[str, Any]:
        is_running = self._served_since_ns is not None
        stale = self._trouble
        if not stale and not is_running:
            stale = "no broker runs: start it. These are its last records"
        return {
            "running": is_running,
            "since": ms_or_none(self._served_since_ns),
            "stale": stale or picture.silence,
            "history": self._history,
        }
