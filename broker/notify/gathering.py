"""Events until they are told: what comes at once is one message, and no agent chatters. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated

import msgspec
from msgspec import Meta

from broker.feed import Event, Kind
from broker.judged import S_NS
from broker.notify import words
from broker.notify.config import NotifySettings
from broker.notify.message import Message

# What belongs to one cause comes within this, and an alarm is at its receiver within 2 s.
GATHER_S = 0.4

_TOPICS = {
    Kind.ALARM_BEGUN: "alarm",
    Kind.ALARM_CHANGED: "alarm",
    Kind.ALARM_ENDED: "alarm",
    Kind.AGENT_SILENT: "connection",
    Kind.AGENT_BACK: "connection",
    Kind.CERTIFICATE_EXPIRES: "certificate",
    Kind.RECORDER_FAILS: "recorder",
    Kind.RECORDER_WORKS: "recorder",
}

Topic = tuple[str, str]
"""An agent, and what of it. Of each there is one message in a while: the latest."""

# Events of one topic that are held, the newest: a cause that changes with each sample makes
# thousands in a pause, and all that is held is written to the file at each look.
_MOST_HELD = 20


class _Held(msgspec.Struct):
    """What of a topic is not told yet."""

    events: Annotated[list[Event], Meta(min_length=1)]
    left_out: int = 0
    """Older ones, which are counted alone."""

    @property
    def earlier(self) -> int:
        """How many came before the latest one."""
        return len(self.events) - 1 + self.left_out

    def add(self, event: Event) -> None:
        """Hold one more."""
        self.events.append(event)
        if len(self.events) > _MOST_HELD:
            del self.events[0]
            self.left_out += 1


class Gathering:
    """Holds events. Times are seconds of a monotonic clock."""

    def __init__(self, settings: NotifySettings, kept: bytes = b"") -> None:
        """`kept`: what an earlier one held. ValueError for what is none."""
        self._settings = settings
        self._held: dict[Topic, _Held] = {}
        self._since_s: float | None = None
        """When the oldest event came that is held, and belongs to no pause."""
        self._paused: dict[Topic, float] = {}
        """Until when."""
        self._crowded_s = float("-inf")
        """Until when all is told as summaries."""
        try:
            earlier = msgspec.json.decode(kept, type=list[_Held]) if kept else []
        except msgspec.MsgspecError as error:
            raise ValueError(str(error)) from error
        for held in earlier:
            self._held[_topic(held.events[-1])] = held

    def kept(self) -> bytes:
        """What it holds, for the next one."""
        return msgspec.json.encode([*self._held.values()])

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing."""
        return not self._held

    def take(self, events: Iterable[Event], now_ns: int) -> int:
        """Hold events; how many were too old, and are not told."""
        oldest_ns = now_ns - round(self._settings.max_age_h * 3600 * S_NS)
        news = list(events)
        fresh = [event for event in news if event.known_at_ns >= oldest_ns]
        self._hold(fresh)
        return len(news) - len(fresh)

    def due(self, now_s: float) -> list[Message]:
        """The messages that are to be sent now. What they tell is held no more."""
        self._paused = {topic: s for topic, s in self._paused.items() if s > now_s}
        topics = [topic for topic in self._held if topic not in self._paused]
        if not topics:
            self._since_s = None
            return []
        if self._since_s is None:
            self._since_s = now_s
        if now_s < max(self._since_s + GATHER_S, self._crowded_s):
            return []
        self._since_s = None
        held = [self._held.pop(topic) for topic in topics]
        until_s = now_s + self._settings.pause_s
        self._paused.update(dict.fromkeys(topics, until_s))
        if len(held) > self._settings.summary_above:
            self._crowded_s = until_s
            keys = [event.key for each in held for event in each.events]
            latest = [_latest(each.events) for each in held]
            return [words.summary(latest, keys, sum(each.earlier for each in held))]
        return [
            words.single(
                _latest(each.events),
                more=each.earlier,
                keys=[event.key for event in each.events[:-1]],
            )
            for each in held
        ]

    def _hold(self, events: Iterable[Event]) -> None:
        for event in events:
            self._held.setdefault(_topic(event), _Held([])).add(event)


def _topic(event: Event) -> Topic:
    return event.agent_id, _TOPICS[event.kind]


def _latest(events: Sequence[Event]) -> Event:
    """The last one; an end without words of its own has those of the beginning."""
    last = events[-1]
    if last.kind is Kind.ALARM_ENDED and not last.reason:
        said = [e.reason for e in events if e.alarm_ns == last.alarm_ns and e.reason]
        return replace(last, reason=said[0] if said else "")
    return last
