"""One agent as the console sees it now: its latest records, and what is told of them."""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from broker.console.present.rounding import figure, ms, ms_or_none
from broker.console.present.seams import OpenAlarm
from broker.feed.apart import apart_ns
from broker.feed.heard import Heard
from broker.feed.shares import shares
from broker.feed.stale import should_be_heard
from broker.judged import S_NS, AgentStatus, State, judged, present_alarm, silence, why
from broker.recorder.reader import LineState, RecordedSample
from quartet.clock import Clock
from wire.sensors import Sensors

Row = Mapping[str, Any]
"""As the contract with the pages says. Never changed: another one takes its place."""

# Number of looks that a rate is measured over.
_LOOKS = 20

# How often words that contain an age are sent again.
_WORDS_NS = 10 * S_NS

# A slower agent's rate is better known from its period.
_SLOW_NS = 2 * S_NS


class Agent:
    """Follows one agent's samples. Loop only."""

    def __init__(self, line: LineState, clock: Clock) -> None:
        self._clock = clock
        self.line = line
        self._heard = Heard(clock)
        self.row: Row = {}
        self._key: tuple[object, ...] = ()
        self._told_at_ns = 0
        self._state: State | None = None
        self._state_since_ns: int | None = None
        """When it came into that state, as far as this process saw it."""
        self._arrivals: deque[tuple[int, int]] = deque(maxlen=_LOOKS)
        """When the last sample of a look arrived, and how many came with it."""
        self._begun_ns: int | None = None
        """When its latest run of True answers began."""
        self._run_since_ns: int | None = None
        """When the alarm began, together with earlier runs that belong to it."""
        self._alarm_heard_s = float("inf")
        """When this process heard of that alarm: all of its beginning was on record then."""
        self._noted: OpenAlarm | None = None
        """What the book holds for that alarm, since it was read so far."""
        self._true_at_ns: int | None = None
        self.take(line)

    def take(self, line: LineState) -> None:
        """Take its state as it is on record now."""
        self._heard.take(self.line, line)
        self.line = line
        alarm, latest = present_alarm(line), line.latest
        if alarm is None:
            return
        if alarm.since_ns != self._begun_ns:
            self._begin(alarm.since_ns)
        if latest and latest.prediction:
            self._true_at_ns = latest.sampled_at_ns

    def hear(self, samples: list[RecordedSample]) -> bool:
        """Take in samples that are new; whether the answer has turned since the one before."""
        line, last = self.line, samples[-1]
        self._heard.hear()
        self._arrivals.append((last.arrived_at_ns, len(samples)))
        before = line.latest is not None and line.latest.prediction
        has_turned = False
        for sample in samples:
            if sample.prediction:
                if not before:
                    self._begin(sample.sampled_at_ns)
                self._true_at_ns = sample.sampled_at_ns
            has_turned |= sample.prediction != before
            before = sample.prediction
        standing = line.standing
        if not last.prediction and standing.alarm:
            standing = standing._replace(alarm=None)
        said = None if has_turned and last.prediction else line.explanation
        self.line = replace(line, latest=last, standing=standing, explanation=said)
        return has_turned

    @property
    def is_hidden(self) -> bool:
        """Whether it is a simulation that has ended."""
        return self.line.is_rehearsal and silence(self.line, self._now_ns()) is not None

    def should_be_heard(self, served_since_ns: int, now_ns: int) -> bool:
        """Whether it is connected, and long enough for a sample to be expected."""
        return should_be_heard(self.line, served_since_ns, now_ns)

    def note(self, open_alarm: OpenAlarm | None, read_at_s: float) -> None:
        """Take what a book holds for the open alarm, that has read all that was on record then.

        A book that was not read so far may hold an alarm that ended since. What it said of this
        alarm before stays true, also while it is built again.
        """
        if open_alarm and read_at_s >= self._alarm_heard_s:
            self._noted = open_alarm

    def judge(self, served_since_ns: int | None) -> State:
        """Take over how it stands now; `row` is another object where something has changed."""
        line, noted = self.line, self._noted
        is_acknowledged = noted is not None and noted.acknowledged is not None
        told = judged(line, served_since_ns, self._now_ns(), is_acknowledged=is_acknowledged)
        now_ns = self._clock.time_ns()
        if told.state is not self._state:
            self._state_since_ns = None if self._state is None else now_ns
            self._state = told.state
        key = (
            *(told.state, told.needs_person, told.alarm, told.learning, told.missing),
            *(told.shift, told.certificate_until_ns, told.connection, told.begun),
            told.is_rehearsal,
            *(noted, line.period_ns, line.sensors, self._run_since_ns, self._state_since_ns),
        )
        is_old = not 0 <= now_ns - self._told_at_ns < _WORDS_NS
        if key != self._key or is_old:
            self._key, self._told_at_ns = key, now_ns
            row = self._row(told, now_ns, noted)
            if row != self.row:
                self.row = row
        return told.state

    def fast(self) -> dict[str, Any]:
        """What changes with each sample."""
        latest = self.line.latest
        if latest is None:
            return {"heard": None, "taken": None, "delay_s": None, "rate_hz": 0.0}
        delay_s = (latest.arrived_at_ns - latest.sampled_at_ns) / S_NS
        return {
            "heard": ms(latest.arrived_at_ns),
            "taken": ms(latest.sampled_at_ns),
            "delay_s": figure(delay_s),
            "rate_hz": figure(self._rate_hz(self._now_ns())),
        }

    def _row(self, told: AgentStatus, now_ns: int, open_alarm: OpenAlarm | None) -> Row:
        alarm = told.alarm
        period_ns = self.line.period_ns
        return {
            "state": told.state.value,
            "since": ms_or_none(self._since_ns(told)),
            "needs_person": told.needs_person,
            "why": why(told, now_ns),
            "shares": _shares(alarm.reason) if alarm else None,
            "alarm": self._alarm(alarm.since_ns, alarm.reason, open_alarm) if alarm else None,
            "learning": [told.learning.seen, told.learning.needed] if told.learning else None,
            "shift": told.shift,
            "missing": told.missing,
            "certificate_until": ms_or_none(told.certificate_until_ns),
            "rehearsal": told.is_rehearsal,
            "period_s": figure(period_ns / S_NS) if period_ns else None,
            "sensors": None if self.line.sensors is None else _sensors(self.line.sensors),
        }

    def _alarm(self, since_ns: int, reason: str, open_alarm: OpenAlarm | None) -> dict[str, Any]:
        begun_ns = since_ns if self._run_since_ns is None else self._run_since_ns
        acknowledged = None
        if open_alarm:
            begun_ns = open_alarm.begun_at_ns
            if said := open_alarm.acknowledged:
                acknowledged = {"by": said.by, "at": ms(said.at_ns), "note": said.note}
        return {
            "id": str(begun_ns),
            "begun": ms(begun_ns),
            "reason": reason,
            "acknowledged": acknowledged,
        }

    def _since_ns(self, told: AgentStatus) -> int | None:
        """When its state began, as far as that is known."""
        if told.state in (State.OFFLINE, State.LATE):
            return told.heard_at_ns
        if told.alarm:
            return told.alarm.since_ns
        if told.state is State.LEARNING:
            return told.begun.at_ns if told.begun else None
        return self._state_since_ns

    def _begin(self, at_ns: int) -> None:
        """Note that a run of True answers has begun."""
        self._begun_ns = at_ns
        if self._run_since_ns is None or self._is_apart(at_ns):
            self._run_since_ns, self._noted = at_ns, None
            self._alarm_heard_s = self._clock.monotonic()

    def _is_apart(self, at_ns: int) -> bool:
        """Whether a run that begins then is another alarm than the latest one."""
        if self._true_at_ns is None:
            return True
        return abs(at_ns - self._true_at_ns) >= apart_ns(self.line.period_ns or 0)

    def _now_ns(self) -> int:
        """The time by the clock that stamped the latest sample, also where it was set since."""
        return self._heard.now_ns(self.line.latest)

    def _rate_hz(self, now_ns: int) -> float:
        period_ns = self.line.period_ns or 0
        by_period = S_NS / period_ns if period_ns else 0.0
        if period_ns >= _SLOW_NS or not self._arrivals:
            return 0.0 if silence(self.line, now_ns) else by_period
        first_ns, last_ns = self._arrivals[0][0], self._arrivals[-1][0]
        end_ns = last_ns if now_ns - last_ns < S_NS else now_ns
        if end_ns <= first_ns:
            return by_period
        later = sum(count for _, count in list(self._arrivals)[1:])
        return later * S_NS / (end_ns - first_ns)


def _sensors(sensors: Sensors) -> list[dict[str, str] | None]:
    return [{"name": each.name, "unit": each.unit} if each else None for each in sensors]


def _shares(reason: str) -> list[float | None] | None:
    found = shares(reason)
    return None if found is None else [None if each is None else figure(each) for each in found]
