"""Looks at the records, and tells how all agents are and what has happened."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from broker.feed.events import Event, Kind
from broker.feed.followed import Followed, Known, Present
from broker.feed.stale import nothing_recorded, should_be_heard
from broker.judged import S_NS, ago
from broker.recorder.fleet import Fleet
from broker.recorder.reader import Bulk, LineState, Reader
from quartet.clock import Clock
from quartet.errors import StoreError

# Samples in one look: some 50 ms.
_MOST = 20_000

# Shortest time between two looks at all lines, and the part of the time that they take at most:
# 1,000 lines take half a second.
_LINES_S = 1.0
_LINES_SHARE = 10

# A broker that is restarted is back sooner; and so is its agent, after it.
_PATIENCE_S = 30.0

# Of one agent that is connected and sends nothing, its own silence is told.
_SEVERAL = 2


@dataclass(frozen=True, slots=True)
class Look:
    """All agents at one moment, and what has happened since the last look."""

    lines: Mapping[str, Present]
    """By agent id. Those of simulations that have ended are left out."""
    events: Sequence[Event]
    """In the order in which they were seen."""
    served_since_ns: int | None
    """Since when a broker runs, in Unix ns; None: none does."""
    trouble: str
    """Why the records may not be as new as they should be; empty: they are."""
    is_behind: bool
    """Whether more was on record than one look takes in: look again at once."""
    has_read: bool
    """Whether the store was ever read: before, `lines` is empty whatever agents there are."""


@dataclass(slots=True)
class _Mark:
    """Where a feed was, and what it had told. Another field has a default."""

    cursor: str
    agents: dict[str, Known] = field(default_factory=dict)
    fails_since_ns: int | None = None


class Feed:
    """Follows all agents of a store. One task at a time. Asks two questions a look, and a third
    each second at most; after an outage of its own it continues where its mark says."""

    def __init__(self, reader: Reader, mark: bytes = b"", clock: Clock = time) -> None:
        """`mark`: of an earlier feed; empty: what is so already is no news. ValueError for none."""
        self._reader = reader
        self._clock = clock
        try:
            self._mark = msgspec.json.decode(mark, type=_Mark) if mark else None
        except msgspec.MsgspecError as error:
            raise ValueError(str(error)) from error
        self._cursor = self._mark.cursor if self._mark else ""
        self._fails_since_ns = self._mark.fails_since_ns if self._mark else None
        self._agents: dict[str, Followed] = {}
        self._is_begun = False
        self._served_since_ns: int | None = None
        self._fleet: Fleet | None = None
        self._lines_at_s = float("-inf")
        self._lines_took_s = 0.0
        self._trouble_at_s: float | None = None
        """When the present trouble was first seen, by the monotonic clock."""
        self._sound_at_s = clock.monotonic()
        """When there was no trouble again."""
        self._lines: dict[str, Present] = {}

    def mark(self) -> bytes:
        """Where it is after the latest look. Whoever keeps it misses no event, and has none twice.

        To be kept together with the events of that look. Empty before the first, where there was
        none.
        """
        if not self._is_begun:
            here = self._mark and replace(self._mark, fails_since_ns=self._fails_since_ns)
            return msgspec.json.encode(here) if here else b""
        agents = {
            agent_id: each.known
            for agent_id, each in self._agents.items()
            if not each.line.is_rehearsal
        }
        return msgspec.json.encode(_Mark(self._cursor, agents, self._fails_since_ns))

    async def look(self) -> Look:
        """Ask what is new, once. A store that cannot be read is told as trouble."""
        events: list[Event] = []
        is_first, is_behind, trouble = not self._is_begun and self._mark is None, False, ""
        try:
            is_behind = await self._ask(events)
        except StoreError as error:
            trouble = str(error)
        trouble = trouble or self._trouble()
        events += self._records(trouble)
        if self._is_begun:
            is_held = trouble != "" or (self._is_just_back() and not is_first)
            self._judge(events, is_first=is_first, is_held=is_held, is_behind=is_behind)
        return Look(
            *(self._lines, events, self._served_since_ns, trouble, is_behind, self._is_begun)
        )

    # What is asked

    async def _ask(self, events: list[Event]) -> bool:
        """Take in what is new; whether there is more."""
        self._served_since_ns = await self._reader.served_since()
        if not self._is_begun:
            await self._begin(events)
        try:
            bulk = await self._reader.bulk(self._cursor, _MOST)
        except ValueError:  # another store is there, of another kind
            bulk = Bulk([], await self._reader.tail(), is_another=True)
        unknown = {strip.agent_id for strip in bulk.strips} - self._agents.keys()
        new = [await self._reader.line(agent_id) for agent_id in unknown]
        for line in filter(None, new):
            self._agents[line.agent_id] = Followed(line, Known(), self._clock)
        known_at_ns = bulk.arrived_at_ns or self._clock.time_ns()
        for strip in bulk.strips:
            if followed := self._agents.get(strip.agent_id):
                events += followed.follow(strip, known_at_ns)
        self._cursor = bulk.cursor
        if bulk.is_another or self._are_lines_due():
            await self._ask_lines(events)
        if bulk.is_another:
            for followed in self._agents.values():
                events += followed.align(self._clock.time_ns())
        return not (bulk.is_last or bulk.is_another)

    async def _begin(self, events: list[Event]) -> None:
        """Know the lines; without a mark, from the end of the records on."""
        cursor = self._cursor if self._mark else await self._reader.tail()
        lines = await self._reader.lines()
        marked = self._mark.agents if self._mark else {}
        for line in lines:
            known = marked.get(line.agent_id, Known())
            self._agents[line.agent_id] = Followed(line, known, self._clock)
        for agent_id in marked.keys() - self._agents.keys():
            line = LineState(agent_id, "", oldest_ns=None, latest=None, explanation=None)
            events += Followed(line, marked[agent_id], self._clock).forgotten()
        if self._mark is None:
            for followed in self._agents.values():
                events += followed.align()
        self._cursor, self._is_begun = cursor, True

    def _are_lines_due(self) -> bool:
        pause_s = max(_LINES_S, (_LINES_SHARE - 1) * self._lines_took_s)
        return self._clock.monotonic() - self._lines_at_s >= pause_s

    async def _ask_lines(self, events: list[Event]) -> None:
        began_s = self._clock.monotonic()
        lines = await self._reader.lines()
        self._fleet = await self._reader.fleet()
        self._lines_at_s = self._clock.monotonic()
        self._lines_took_s = self._lines_at_s - began_s
        for line in lines:
            if followed := self._agents.get(line.agent_id):
                followed.take(line)
            else:
                self._agents[line.agent_id] = Followed(line, Known(), self._clock)
        for agent_id in self._agents.keys() - {line.agent_id for line in lines}:
            events += self._agents.pop(agent_id).forgotten()

    # What is told

    def _judge(
        self, events: list[Event], *, is_first: bool, is_held: bool, is_behind: bool
    ) -> None:
        served_ns = self._served_since_ns
        self._lines = {}
        for agent_id, followed in self._agents.items():
            present = followed.judge(served_ns)
            if not is_behind:
                events += followed.look(present, served_ns, is_first=is_first, is_held=is_held)
            if not followed.is_hidden:
                self._lines[agent_id] = present

    def _trouble(self) -> str:
        """Why it may not be the agents that are silent; empty: there is no sign of that."""
        if self._served_since_ns is None:
            return "no broker runs: start it"
        if self._fleet and self._fleet.server.waits:
            return f"no commit is confirmed: {self._fleet.server}"
        behind_s = self._fleet.server.behind_s if self._fleet else None
        if behind_s is not None and behind_s > _PATIENCE_S:
            return f"the standby that is read is {ago(round(behind_s * S_NS))} behind"
        return self._silence([each.line for each in self._agents.values()], self._served_since_ns)

    def _silence(self, lines: Sequence[LineState], served_since_ns: int) -> str:
        now_ns = self._clock.time_ns()
        expected = sum(should_be_heard(line, served_since_ns, now_ns) for line in lines)
        arrivals = [line.latest.arrived_at_ns for line in lines if line.latest]
        if expected < _SEVERAL:
            return ""
        return nothing_recorded(expected, max(arrivals, default=0), now_ns)

    def _is_just_back(self) -> bool:
        return self._clock.monotonic() - self._sound_at_s < _PATIENCE_S

    def _records(self, trouble: str) -> list[Event]:
        """What there is to tell of the records themselves."""
        now_s, now_ns = self._clock.monotonic(), self._clock.time_ns()
        if trouble:
            if self._trouble_at_s is None:
                self._trouble_at_s = now_s
            waited_s = now_s - self._trouble_at_s
            if self._fails_since_ns is not None or waited_s < _PATIENCE_S:
                return []
            self._fails_since_ns = now_ns - round(waited_s * S_NS)
            return [Event(Kind.RECORDER_FAILS, "", self._fails_since_ns, now_ns, trouble)]
        if self._trouble_at_s is not None:
            self._trouble_at_s, self._sound_at_s = None, now_s
        since_ns, self._fails_since_ns = self._fails_since_ns, None
        if since_ns is None:
            return []
        lasted_ns = max(0, now_ns - since_ns)
        return [Event(Kind.RECORDER_WORKS, "", now_ns, now_ns, lasted_ns=lasted_ns)]
