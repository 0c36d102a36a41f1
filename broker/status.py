"""How each agent stands, by the records: worst first, and whether somebody must look after it."""

import time
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import msgspec

from broker.model import Alarm, Learning
from broker.recorder.reader import LineState, PlainAccount, Reader, RecordedEvent
from broker.records import EventKind
from quartet.clock import Clock
from quartet.columns import aligned
from quartet.duration import lasted
from quartet.foreign import shown
from quartet.plural import counted
from quartet.renewal import SOON

# Of what to_json() gives; raised when a reader of this one would misread it.
_SCHEMA = 1

# Without a sample for so long, or for so many periods of a slow agent, whichever is more.
_OFFLINE_S = 30.0
_OFFLINE_PERIODS = 10
_LATE_S = 3.0
_LATE_PERIODS = 3

# An agent that sends what it kept is this far behind. Less may be readings that were late.
_PAST_S = 3600.0

# So long it is news that a predictor has started again.
_NEWS_S = 86_400.0

_S_NS = 10**9
_DAY_S = 86_400.0


class State(Enum):
    """Where an agent is, worst first: the first that holds."""

    OFFLINE = "offline"
    """No sample for a while."""
    LATE = "late"
    """The next samples are overdue."""
    ALARM = "alarm"
    """The latest prediction is True."""
    LEARNING = "learning"
    """The predictor learns what is normal, and judges nothing yet."""
    NORMAL = "normal"


_RANKS = {state: rank for rank, state in enumerate(State)}


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """How one agent stands. Times are Unix ns."""

    agent_id: str
    state: State
    needs_person: bool
    heard_at_ns: int | None
    """When its latest sample arrived; None: no sample is on record."""
    taken_at_ns: int | None
    """When that sample was taken, by the agent's clock."""
    learning: Learning | None
    alarm: Alarm | None
    """Also of an agent that is offline: as it was heard last."""
    missing: int
    """Ids that never arrived."""
    certificate_until_ns: int | None
    connection: str
    """Why no samples come; empty while they do."""
    begun: RecordedEvent | None
    """When the predictor last started again."""
    is_rehearsal: bool = False
    """A simulation's, which needs nobody."""


@dataclass(frozen=True, slots=True)
class Status:
    """How all agents stand, for people and for programs."""

    at_ns: int
    served_since_ns: int | None
    """None: no broker runs."""
    agents: tuple[AgentStatus, ...]
    plain: PlainAccount
    silent_rehearsals: int = 0
    """Simulations that send no more. Nobody misses them."""

    @property
    def needs_person(self) -> bool:
        """Whether somebody must look after an agent, or start the broker."""
        return self.served_since_ns is None or any(each.needs_person for each in self.agents)

    def to_json(self) -> str:
        """For programs."""
        tree = {
            "schema": _SCHEMA,
            "at_ns": self.at_ns,
            "broker": {
                "is_running": self.served_since_ns is not None,
                "since_ns": self.served_since_ns,
            },
            "needs_person": self.needs_person,
            "agents": self.agents,
            "plain": self.plain,
            "silent_rehearsals": self.silent_rehearsals,
        }
        return msgspec.json.encode(tree).decode()

    def to_text(self) -> str:
        """For people. What agents and predictors have said cannot harm a terminal."""
        lines = [self._headline()]
        if self.agents:
            cells = aligned([_HEAD, *map(self._cells, self.agents)], names=2)
            whys = ["why", *map(self._why, self.agents)]
            lines += [f"{row}  {shown(why)}".rstrip() for row, why in zip(cells, whys, strict=True)]
        plain = self.plain
        if plain.streams:
            lines.append(
                f"without agent metadata: {counted(plain.streams, 'stream')},"
                f" {counted(plain.answered, 'sample')} answered"
            )
        if self.silent_rehearsals:
            ended = counted(self.silent_rehearsals, "rehearsal")
            lines.append(f"ended: {ended} ('broker ledger' counts the samples)")
        return "\n".join(lines)

    def _headline(self) -> str:
        if self.served_since_ns is None:
            runs = "no broker runs: start it. These are its last records"
        else:
            runs = f"the broker has run for {_ago(self.at_ns - self.served_since_ns)}"
        return "; ".join([runs, *(self._needs() or [self._absence()])])

    def _needs(self) -> list[str]:
        """How many need a person, and how many can need none."""
        rehearsals = sum(each.is_rehearsal for each in self.agents)
        said = []
        if count := len(self.agents) - rehearsals:
            needy = sum(each.needs_person for each in self.agents)
            need = "need" if needy > 1 else "needs"
            said.append(f"{needy or 'none'} of {counted(count, 'agent')} {need} a person")
        if rehearsals:
            said.append(f"{counted(rehearsals, 'rehearsal', 'needs', 'need')} nobody")
        return said

    def _absence(self) -> str:
        if self.silent_rehearsals:
            return "no agent except rehearsals that have ended"
        return "no agent has sent a sample"

    def _cells(self, agent: AgentStatus) -> tuple[str, ...]:
        state = agent.state.value
        heard_ns, until_ns = agent.heard_at_ns, agent.certificate_until_ns
        return (
            agent.agent_id,
            state.upper() if agent.state is State.ALARM else state,
            "-" if heard_ns is None else f"{_ago(self.at_ns - heard_ns)} ago",
            str(agent.missing),
            "-" if until_ns is None else _days_left(until_ns, self.at_ns),
        )

    def _why(self, agent: AgentStatus) -> str:
        said = [agent.connection]
        heard_ns, taken_ns = agent.heard_at_ns or 0, agent.taken_at_ns
        if taken_ns is not None and heard_ns - taken_ns > _PAST_S * _S_NS:
            said.append(f"its latest sample was taken {_ago(self.at_ns - taken_ns)} ago")
        if alarm := agent.alarm:
            name = "" if agent.state is State.ALARM else "ALARM "
            reason = alarm.reason.removeprefix("alarm: ") or "the predictor gives no reason"
            said.append(f"{name}since {_local(alarm.since_ns)}: {reason}")
        if learning := agent.learning:
            said.append(f"{learning.seen}/{learning.needed} learned")
        if (until_ns := agent.certificate_until_ns) and _is_due(until_ns, self.at_ns):
            said.append("renew its certificate")
        begun = agent.begun
        if begun and 0 <= self.at_ns - begun.at_ns < _NEWS_S * _S_NS:
            when = _ago(self.at_ns - begun.at_ns)
            said.append(f"predictor reset {when} ago: {begun.text}")
        return "; ".join(filter(None, said))


_HEAD = ("agent", "state", "last sample", "missing", "certificate")


async def read(reader: Reader, clock: Clock = time) -> Status:
    """The status now. Raises StoreError."""
    served_since_ns = await reader.served_since()
    lines, plain = await reader.lines(), await reader.plain()
    now_ns = clock.time_ns()
    silent = [line for line in lines if line.is_rehearsal and _silence(line, now_ns)]
    agents = (_judged(line, served_since_ns, now_ns) for line in lines if line not in silent)
    ordered = sorted(
        agents, key=lambda each: (not each.needs_person, _RANKS[each.state], each.agent_id)
    )
    return Status(now_ns, served_since_ns, tuple(ordered), plain, len(silent))


def _judged(line: LineState, served_since_ns: int | None, now_ns: int) -> AgentStatus:
    latest, alarm, begun = line.latest, line.standing.alarm, line.begun
    is_void = latest and begun and begun.at_ns >= latest.arrived_at_ns
    if latest and latest.prediction and alarm is None and not is_void:
        # Recorded by an older version, which noted no beginning.
        alarm = Alarm(latest.sampled_at_ns, line.explanation.text if line.explanation else "")
    state = _silence(line, now_ns)
    connection = _silent_because(line, served_since_ns) if state else ""
    if state is None and alarm:
        state = State.ALARM
    elif state is None:
        state = State.LEARNING if line.standing.learning else State.NORMAL
    until_ns = line.certificate_until_ns
    is_due = until_ns is not None and _is_due(until_ns, now_ns)
    return AgentStatus(
        line.agent_id,
        state,
        needs_person=not line.is_rehearsal
        and (state is State.OFFLINE or alarm is not None or is_due),
        heard_at_ns=latest.arrived_at_ns if latest else None,
        taken_at_ns=latest.sampled_at_ns if latest else None,
        learning=line.standing.learning,
        alarm=alarm,
        missing=line.missing,
        certificate_until_ns=until_ns,
        connection=connection,
        begun=begun,
        is_rehearsal=line.is_rehearsal,
    )


def _silence(line: LineState, now_ns: int) -> State | None:
    """How late the next sample is; None: it is not. A stamp of the future is not late."""
    if line.latest is None:
        return State.OFFLINE
    age_s = (now_ns - line.latest.arrived_at_ns) / _S_NS
    period_s = (line.period_ns or 0) / _S_NS
    if age_s > max(_OFFLINE_S, _OFFLINE_PERIODS * period_s):
        return State.OFFLINE
    return State.LATE if age_s > max(_LATE_S, _LATE_PERIODS * period_s) else None


def _silent_because(line: LineState, served_since_ns: int | None) -> str:
    stream = line.stream
    if stream and stream.kind is EventKind.ENDED:
        return stream.text
    if served_since_ns is None:
        return "the broker stopped"
    if stream is None or stream.at_ns < served_since_ns:
        return "not connected since the broker started"
    return "connected, but sends no samples"


def _is_due(until_ns: int, now_ns: int) -> bool:
    return until_ns - now_ns < SOON.total_seconds() * _S_NS


def _days_left(until_ns: int, now_ns: int) -> str:
    if until_ns <= now_ns:
        return "expired"
    return counted(int((until_ns - now_ns) // (_DAY_S * _S_NS)), "day")


def _ago(ns: int) -> str:
    return lasted(ns / _S_NS)


def _local(at_ns: int) -> str:
    """As the broker's log writes times, and with the zone."""
    return f"{datetime.fromtimestamp(at_ns / _S_NS).astimezone():%Y-%m-%d %H:%M:%S %Z}"
