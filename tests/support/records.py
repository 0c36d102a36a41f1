"""The records of a fleet, as a test says them: a Reader of what the console's present asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from support.clock import ManualClock

from broker.model import Alarm
from broker.recorder.reader import (
    Bulk,
    LineState,
    News,
    PlainAccount,
    RecordedEvent,
    RecordedExplanation,
    RecordedSample,
    Strip,
)
from broker.records import EventKind
from quartet.channels import Values
from quartet.errors import StoreError

S_NS = 10**9
SESSION = "0" * 32


class Records:
    """Holds what agents sent; each question costs a time that a test can set."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.states: dict[str, LineState] = {}
        self.samples: list[RecordedSample] = []
        self.reasons: dict[int, str] = {}
        self.first = 0
        """The position before the first sample: a store that was replaced begins at another."""
        self.served_since_ns: int | None = clock.time_ns()
        self.trouble = ""
        self.asked: list[str] = []
        self.lines_take_s = 0.0
        self.line_takes_s = 0.0

    def connect(self, agent: str, **more: object) -> None:
        """An agent opens a stream."""
        opened = RecordedEvent(self.clock.time_ns(), EventKind.OPENED, "")
        line = LineState(agent, "1.2.3.4:5", None, None, None, period_ns=S_NS // 10)
        self.states[agent] = replace(line, stream=opened, **more)  # type: ignore[arg-type]

    def change(self, agent: str, **more: object) -> None:
        """Something else about a line is on record."""
        self.states[agent] = replace(self.states[agent], **more)  # type: ignore[arg-type]

    def send(
        self,
        agent: str,
        values: Values = (1.0, 2.0, 3.0, 4.0),
        *,
        prediction: bool = False,
        reason: str = "",
        taken_s: float = 0.0,
    ) -> RecordedSample:
        """A sample that was taken so long ago arrives now; `reason`: what is said with it."""
        now_ns = self.clock.time_ns()
        taken_ns = now_ns - round(taken_s * S_NS)
        id_ = len(self.samples)
        sample = RecordedSample(agent, SESSION, id_, values, taken_ns, now_ns, prediction)
        self.samples.append(sample)
        if reason:
            self.reasons[id_] = reason
        if agent not in self.states:
            self.connect(agent)
        line = self.states[agent]
        alarm = line.standing.alarm if prediction else None
        if prediction and alarm is None:
            alarm = Alarm(taken_ns, reason)
        said = RecordedExplanation(SESSION, id_, taken_ns, reason) if reason else line.explanation
        standing = line.standing._replace(alarm=alarm)
        self.change(agent, latest=sample, standing=standing, explanation=said)
        return sample

    def _asked(self, question: str, takes_s: float = 0.0) -> None:
        self.asked.append(question)
        self.clock.advance(takes_s)
        if self.trouble:
            raise StoreError(self.trouble)

    async def fleet(self) -> None:
        return None

    async def served_since(self) -> int | None:
        return self.served_since_ns

    async def lines(self) -> Sequence[LineState]:
        self._asked("lines", self.lines_take_s)
        return [*self.states.values()]

    async def line(self, agent_id: str) -> LineState | None:
        self._asked(f"line {agent_id}", self.line_takes_s)
        return self.states.get(agent_id)

    async def plain(self) -> PlainAccount:
        return PlainAccount(0, 0, 0)

    async def tail(self) -> str:
        self._asked("tail")
        return str(self.first + len(self.samples))

    async def news(self, cursor: str, most: int) -> News:
        self._asked("news")
        at = max(0, int(cursor or 0) - self.first)
        found = self.samples[at : at + most]
        behind = int(cursor or 0)
        return News(found, str(self.first + at + len(found) if found else behind))

    async def bulk(self, cursor: str, most: int) -> Bulk:
        self._asked("bulk")
        at = int(cursor or 0) - self.first
        if not 0 <= at <= len(self.samples):
            return Bulk([], await self.tail(), is_another=True)
        found = self.samples[at : at + most]
        by_agent: dict[str, list[RecordedSample]] = {}
        for sample in found:
            by_agent.setdefault(sample.agent_id, []).append(sample)
        strips = [self._strip(agent_id, samples) for agent_id, samples in by_agent.items()]
        arrived_at_ns = found[-1].arrived_at_ns if found else None
        end = str(self.first + at + len(found))
        return Bulk(strips, end, arrived_at_ns, is_last=len(found) < most)

    def _strip(self, agent_id: str, samples: Sequence[RecordedSample]) -> Strip:
        return Strip(
            agent_id,
            [each.sampled_at_ns for each in samples],
            [int(each.prediction) for each in samples],
            [each.values for each in samples],
            [
                (number, said)
                for number, each in enumerate(samples)
                if (said := self.reasons.get(each.id))
            ],
        )

    async def recent(self, agent_id: str, since_ns: int, most: int) -> Sequence[RecordedSample]:
        self._asked(f"recent {agent_id}")
        found = [
            each
            for each in self.samples
            if each.agent_id == agent_id and each.arrived_at_ns >= since_ns
        ]
        return found[-most:]


@dataclass
class Said:
    at_ns: int
    by: str
    note: str


@dataclass
class Noted:
    begun_at_ns: int
    acknowledged: Said | None = None


class Book:
    """A console's book with the open alarms that a test says."""

    def __init__(self) -> None:
        self.alarms: dict[str, Noted] = {}
        self.history = ""
        self.trouble = ""
        self.read_at_s = float("inf")

    async def open_alarms(self) -> Mapping[str, Noted]:
        if self.trouble:
            raise StoreError(self.trouble)
        return self.alarms

    async def behind(self) -> str:
        return self.history
