"""One agent, followed: how it stands, and what has happened to it. Asks nobody."""

from dataclasses import dataclass, field, replace

from broker.feed.alarms import Run, Tail
from broker.feed.apart import apart_ns
from broker.feed.endings import is_over
from broker.feed.events import FORGOTTEN, Event, Kind
from broker.feed.heard import Heard
from broker.feed.shares import most_blamed
from broker.judged import S_NS, AgentStatus, State, judged, present_alarm, silence
from broker.predictors import OVER, UNTIL_RESET
from broker.recorder.reader import LineState, Strip
from quartet.clock import Clock
from quartet.renewal import SOON

_DAY_NS = 86_400 * S_NS

# Days before the end of a certificate at which it is told.
_DAYS = (0, 1, 7, SOON.days)


@dataclass(frozen=True, slots=True)
class OpenAlarm:
    """The alarm that an agent is in. A machine at the edge of its limits has one, not a hundred."""

    begun_at_ns: int
    """When its first sample was taken, in Unix ns: with the agent it names the alarm."""
    reason: str
    """What the predictor said first; empty: nothing. As it came."""
    waits_for_person: bool
    """Whether it stays until a person resets the predictor."""


@dataclass(frozen=True, slots=True)
class Present:
    """An agent as it is now."""

    line: LineState
    """Its latest sample and explanation, and what people call its sensors."""
    status: AgentStatus
    """Its state, since when, why no samples come, and whether it needs a person."""
    alarm: OpenAlarm | None


@dataclass(slots=True)
class Known:
    """What was told of an agent, and all that its next events depend on."""

    tail: Tail = field(default_factory=Tail)
    is_alarm_told: bool = False
    """Whether the latest alarm was told as begun, and not yet as ended."""
    blamed: int | None = None
    """The channel that was last told as the cause of the alarm."""
    waits_for_person: bool = False
    over: str = ""
    """What the predictor said at the end of the alarm."""
    silent_ns: int | None = None
    """Since when it is silent, where that was told."""
    certificate_until_ns: int | None = None
    days_left: int | None = None
    """What was last told of that certificate."""


class Followed:
    """Follows one agent. One thread at a time."""

    def __init__(self, line: LineState, known: Known, clock: Clock) -> None:
        self._heard = Heard(clock)
        self.line = line
        self.known = known

    def take(self, line: LineState) -> None:
        """Take its line as it is on record now."""
        self._heard.take(self.line, line)
        self.line = line

    def follow(self, strip: Strip, known_at_ns: int) -> list[Event]:
        """Take in its next samples; what they tell. They were on record at that time."""
        tail, former = self.known.tail, self.known.tail.run
        events: list[Event] = []
        for run in tail.follow(strip).values():
            if run is not former and (former is None or run.begun_at_ns != former.begun_at_ns):
                events += self._ended(former, known_at_ns)
                events.append(self._begun(run, known_at_ns))
            former = run
        if tail.run:
            if tail.run.is_open and not self.known.is_alarm_told:  # by a clock that was set back
                events.append(replace(self._begun(tail.run, known_at_ns), at_ns=known_at_ns))
            events += self._said(tail.run, strip, known_at_ns)
            passed_ns = (tail.at_ns or 0) - tail.run.latest_at_ns
            if not tail.run.is_open and passed_ns >= self._apart_ns():
                events += self._ended(tail.run, known_at_ns)
        return [] if self.line.is_rehearsal else events

    def align(self, known_at_ns: int | None = None) -> list[Event]:
        """Have the alarm be what is on record now, without samples: at a start, in another store.

        `known_at_ns` None: since it began.
        """
        alarm, latest, tail = present_alarm(self.line), self.line.latest, self.known.tail
        events: list[Event] = []
        is_open = self.known.is_alarm_told and tail.run is not None and tail.run.is_open
        if alarm is None and is_open:
            events += self._ended(tail.run, self._now_ns())
        elif alarm and latest and not is_open:
            events += self._ended(tail.run, self._now_ns())
            run = Run(alarm.since_ns, latest.sampled_at_ns, samples=1, reason=alarm.reason or None)
            period_ns = self.line.period_ns or 0
            self.known.tail = Tail(latest.sampled_at_ns, period_ns, is_true=True, run=run)
            known_ns = alarm.since_ns if known_at_ns is None else known_at_ns
            said = self.line.explanation.text if self.line.explanation else ""
            events.append(self._begun(run, known_ns, waits_for_person=UNTIL_RESET in said))
        return [] if self.line.is_rehearsal else events

    def judge(self, served_since_ns: int | None) -> Present:
        """How it is now."""
        status = judged(self.line, served_since_ns, self._now_ns())
        run, alarm = self.known.tail.run, None
        if told := status.alarm:
            alarm = OpenAlarm(told.since_ns, told.reason, UNTIL_RESET in told.reason)
            if run and self.known.is_alarm_told:
                reason = run.reason or told.reason
                alarm = OpenAlarm(run.begun_at_ns, reason, self.known.waits_for_person)
        return Present(self.line, status, alarm)

    @property
    def is_hidden(self) -> bool:
        """Whether it is a simulation that has ended."""
        return self.line.is_rehearsal and silence(self.line, self._now_ns()) is not None

    def look(
        self, present: Present, served_since_ns: int | None, *, is_first: bool, is_held: bool
    ) -> list[Event]:
        """What time has brought since the last look.

        `is_first`: what is so already is no news. `is_held`: its silence is not its own.
        """
        if self.line.is_rehearsal:
            return []
        events = self._settle()
        if not is_held:
            events += self._look_for_silence(present.status, served_since_ns, is_first=is_first)
        return [*events, *self._look_at_certificate()]

    def forgotten(self) -> list[Event]:
        """What there is to tell where it is on record no more."""
        if self.line.is_rehearsal:
            return []
        self.known.over = FORGOTTEN
        return self._ended(self.known.tail.run, self._now_ns())

    def _begun(self, run: Run, known_at_ns: int, *, waits_for_person: bool = False) -> Event:
        known, reason = self.known, run.reason or ""
        known.is_alarm_told, known.over = True, ""
        known.blamed = most_blamed(reason)
        known.waits_for_person = waits_for_person or UNTIL_RESET in reason
        return self._of_alarm(Kind.ALARM_BEGUN, run, run.begun_at_ns, known_at_ns, reason)

    def _said(self, run: Run, strip: Strip, known_at_ns: int) -> list[Event]:
        """What explanations of the latest alarm say that was not told before."""
        known, events = self.known, []
        for number, text in strip.said:
            at_ns = strip.sampled_at_ns[number]
            if not strip.predictions[number]:
                if text.startswith(OVER):
                    known.over = text.removeprefix(OVER)
                continue
            if not run.begun_at_ns <= at_ns <= run.latest_at_ns:
                continue
            blamed = most_blamed(text)
            waits = known.waits_for_person or UNTIL_RESET in text
            is_new = blamed not in (None, known.blamed) or waits != known.waits_for_person
            known.blamed = known.blamed if blamed is None else blamed
            known.waits_for_person = waits
            if is_new and known.is_alarm_told:
                events.append(self._of_alarm(Kind.ALARM_CHANGED, run, at_ns, known_at_ns, text))
        return events

    def _settle(self) -> list[Event]:
        """The end of an alarm that no later sample tells."""
        run, latest, now_ns = self.known.tail.run, self.line.latest, self._now_ns()
        if run is None or not self.known.is_alarm_told:
            return []
        if run.is_open:
            return self._ended(run, now_ns) if is_over(self.line, now_ns) else []
        waited_ns = now_ns - latest.arrived_at_ns if latest else 0
        return self._ended(run, now_ns) if waited_ns >= self._apart_ns() else []

    def _ended(self, run: Run | None, known_at_ns: int) -> list[Event]:
        if run is None or not self.known.is_alarm_told:
            return []
        self.known.is_alarm_told = run.is_open = False
        over = self.known.over
        event = self._of_alarm(Kind.ALARM_ENDED, run, run.latest_at_ns, known_at_ns, over)
        return [replace(event, lasted_ns=run.latest_at_ns - run.begun_at_ns)]

    def _of_alarm(self, kind: Kind, run: Run, at_ns: int, known_at_ns: int, reason: str) -> Event:
        return Event(
            *(kind, self.line.agent_id, at_ns, known_at_ns, reason, run.begun_at_ns),
            sensors=self.line.sensors,
            waits_for_person=self.known.waits_for_person and kind is not Kind.ALARM_ENDED,
        )

    def _look_for_silence(
        self, status: AgentStatus, served_since_ns: int | None, *, is_first: bool
    ) -> list[Event]:
        known, latest = self.known, self.line.latest
        if latest is None:
            return []
        agent_id, heard_ns, now_ns = self.line.agent_id, latest.arrived_at_ns, self._now_ns()
        if status.state is not State.OFFLINE:
            since_ns, known.silent_ns = known.silent_ns, None
            if since_ns is None:
                return []
            lasted_ns = max(0, heard_ns - since_ns)
            return [Event(Kind.AGENT_BACK, agent_id, heard_ns, now_ns, lasted_ns=lasted_ns)]
        # Nobody could hear it before.
        since = replace(latest, arrived_at_ns=max(heard_ns, served_since_ns or 0))
        is_silent = silence(replace(self.line, latest=since), now_ns) is State.OFFLINE
        if known.silent_ns is not None or not is_silent:
            return []
        known.silent_ns = heard_ns
        known_at_ns = heard_ns if is_first else now_ns
        return [Event(Kind.AGENT_SILENT, agent_id, heard_ns, known_at_ns, status.connection)]

    def _look_at_certificate(self) -> list[Event]:
        known, until_ns, now_ns = self.known, self.line.certificate_until_ns, self._now_ns()
        if until_ns != known.certificate_until_ns:
            known.certificate_until_ns, known.days_left = until_ns, None
        if until_ns is None:
            return []
        left_ns = until_ns - now_ns
        days = next((days for days in _DAYS if left_ns <= days * _DAY_NS), None)
        if days is None or (known.days_left is not None and days >= known.days_left):
            return []
        known.days_left = days
        kind = Kind.CERTIFICATE_EXPIRES
        return [Event(kind, self.line.agent_id, until_ns, now_ns, days_left=days)]

    def _apart_ns(self) -> int:
        return apart_ns(self.line.period_ns or self.known.tail.gap_ns)

    def _now_ns(self) -> int:
        return self._heard.now_ns(self.line.latest)
