"""What one event stream has been told, and what it is told next."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from broker.console.present.agent import Row
from broker.console.present.fleet import Picture
from broker.console.present.ring import MOST_AT_ONCE, MOST_POINTS, Ring, columns, thinned

Tick = dict[str, Any]

# The most sparklines of one page.
MOST_WATCHED = 200

# Who has missed more looks than this is told of the whole minute.
_MISSED = 2


@dataclass(frozen=True, slots=True)
class Moment:
    """What there is to tell after one look. Its parts are shared, and never changed."""

    turn: int
    """Which look it was."""
    at_ms: float
    store: Mapping[str, Any]
    plain: Mapping[str, int]
    picture: Picture

    def whole(self) -> Tick:
        """All of it, but for what changes with each sample."""
        return {
            "at": self.at_ms,
            "full": True,
            "store": self.store,
            "counts": self.picture.counts,
            "needs_person": self.picture.needs_person,
            "plain": self.plain,
            "agents": self.picture.rows,
            "gone": [],
        }

    def since(self, former: "Moment") -> Tick:
        """What is another than it was, without a time."""
        tick: Tick = {}
        now, then = self.picture, former.picture
        for name, new, old in (
            ("store", self.store, former.store),
            ("counts", now.counts, then.counts),
            ("needs_person", now.needs_person, then.needs_person),
            ("plain", self.plain, former.plain),
        ):
            if new != old:
                tick[name] = new
        if now.rows is not then.rows:
            changed = {
                agent_id: _changes(row, then.rows.get(agent_id, {}))
                for agent_id, row in now.rows.items()
                if row is not then.rows.get(agent_id)
            }
            gone = [agent_id for agent_id in then.rows if agent_id not in now.rows]
            tick.update({"agents": changed} if changed else {})
            tick.update({"gone": gone} if gone else {})
        return tick


class Source(Protocol):
    """Where the present is looked at."""

    @property
    def moment(self) -> Moment:
        """After the latest look."""
        ...

    @property
    def is_fresh(self) -> bool:
        """Whether that was a moment ago."""
        ...

    def fast(self, agent_id: str) -> Row:
        """What changes with each sample of an agent that there is."""
        ...

    def ring(self, agent_id: str) -> Ring | None:
        """The last minute of an agent, where it is held."""
        ...

    async def next_look(self) -> None:
        """Return after the next look."""
        ...


class Subscription(AsyncIterator[Tick]):
    """The ticks of one stream: the whole, and then what has changed since the one before.

    Nothing waits for a client that does not read: it is told of the present when it reads again.
    A read that is cancelled loses nothing.
    """

    def __init__(self, source: Source, watch: frozenset[str]) -> None:
        self._source = source
        self.watch = frozenset(sorted(watch)[:MOST_WATCHED])
        """The agents whose samples it wants."""
        self._told: Moment | None = None
        self._fast: dict[str, Row] = {}
        self._turns: dict[str, int] = {}
        """By agent, the look up to which its samples were told."""
        self._is_open = True

    async def __anext__(self) -> Tick:
        """The next tick, once there is something to tell."""
        if self._told is None and not self._source.is_fresh:
            await self._source.next_look()
        while self._is_open:
            moment = self._source.moment
            is_new = self._told is None or moment.turn != self._told.turn
            if is_new and (tick := self._tick(moment)):
                return tick
            await self._source.next_look()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End it: nothing is held for it any more."""
        self._is_open = False

    @property
    def is_open(self) -> bool:
        """Whether somebody may still read."""
        return self._is_open

    def _tick(self, moment: Moment) -> Tick:
        former, self._told = self._told, moment
        rows = moment.picture.rows
        tick = moment.since(former) if former else moment.whole()
        told = rows if former is None else self.watch & rows.keys()
        fast = {agent_id: self._source.fast(agent_id) for agent_id in told}
        new = {name: each for name, each in fast.items() if each != self._fast.get(name)}
        self._fast = {agent_id: fast[agent_id] for agent_id in self.watch & rows.keys()}
        samples = self._samples(moment, former)
        if former is None:
            return {**tick, "fast": fast, "samples": samples}
        tick.update({"fast": new} if new else {})
        tick.update({"samples": samples} if samples else {})
        return {"at": moment.at_ms, **tick} if tick else {}

    def _samples(self, moment: Moment, former: Moment | None) -> dict[str, Any]:
        has_missed = former is None or moment.turn - former.turn > _MISSED
        found = {}
        for agent_id in sorted(self.watch & moment.picture.rows.keys()):
            ring = self._source.ring(agent_id)
            if ring is None:
                continue
            is_first = agent_id not in self._turns
            points = ring.between(self._turns.get(agent_id, -1), moment.turn)
            if points:
                self._turns[agent_id] = moment.turn
                most = MOST_POINTS if has_missed or is_first else MOST_AT_ONCE
                found[agent_id] = columns(thinned(points, most))
        return found


def _changes(row: Row, former: Row) -> Row:
    return {key: value for key, value in row.items() if key not in former or former[key] != value}
