"""How one agent stands, judged by its latest records: in which state, why, and who must look."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from broker.model import Alarm, Learning, Standing
from broker.recorder.reader import LineState, RecordedEvent
from broker.records import ENDED_BY_AGENT, EventKind
from quartet.duration import lasted
from quartet.renewal import SOON
from wire.sensors import Sensors

# An agent is offline after this time without a sample, or after this number of periods, if more.
_OFFLINE_S = 30.0
_OFFLINE_PERIODS = 10
_LATE_S = 3.0
_LATE_PERIODS = 3

# An agent that sends what it kept is this far behind. Less may be readings that were late.
_PAST_S = 3600.0

# So long it is news that a predictor has started again.
_NEWS_S = 86_400.0

S_NS = 10**9


class State(Enum):
    """Where an agent is, worst first: the first that holds."""

    OFFLINE = "offline"
    """No sample for a while."""
    LATE = "late"
    """The next samples are overdue."""
    ALARM = "alarm"
    """The latest prediction is True."""
    ACKNOWLEDGED = "acknowledged"
    """The same, and a person has said so. Only the console knows."""
    LEARNING = "learning"
    """The predictor learns what is normal, and judges nothing yet."""
    STEADY = "steady"
    """At another level than the first one, which nobody has accepted by a reset yet."""
    NORMAL = "normal"


RANKS = {state: rank for rank, state in enumerate(State)}


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
    sensors: Sensors | None = None
    """What people call its sensors; None: nobody told."""
    shift: str | None = None
    """How far its accepted level is off the first one, as the predictor says; None: not at all."""


def judged(
    line: LineState, served_since_ns: int | None, now_ns: int, *, is_acknowledged: bool = False
) -> AgentStatus:
    """How an agent stands now; `served_since_ns`: as a reader tells it.

    An alarm that is acknowledged needs nobody more.
    """
    latest, begun = line.latest, line.begun
    alarm = present_alarm(line)
    state = silence(line, now_ns)
    connection = _silent_because(line, served_since_ns) if state else ""
    if state is None and alarm:
        state = State.ACKNOWLEDGED if is_acknowledged else State.ALARM
    elif state is None:
        state = at_rest(line.standing)
    until_ns = line.certificate_until_ns
    is_due = until_ns is not None and _is_due(until_ns, now_ns)
    in_need = state is State.OFFLINE or (alarm is not None and not is_acknowledged) or is_due
    return AgentStatus(
        line.agent_id,
        state,
        needs_person=in_need and not line.is_rehearsal,
        heard_at_ns=latest.arrived_at_ns if latest else None,
        taken_at_ns=latest.sampled_at_ns if latest else None,
        learning=line.standing.learning,
        alarm=alarm,
        missing=line.missing,
        certificate_until_ns=until_ns,
        connection=connection,
        begun=begun,
        is_rehearsal=line.is_rehearsal,
        sensors=line.sensors,
        shift=line.standing.shift,
    )


def present_alarm(line: LineState) -> Alarm | None:
    """The alarm that a line is in, by its latest answer."""
    latest, alarm, begun = line.latest, line.standing.alarm, line.begun
    is_void = latest and begun and begun.at_ns >= latest.arrived_at_ns
    if latest and latest.prediction and alarm is None and not is_void:
        # Recorded by an older version, which noted no beginning.
        alarm = Alarm(latest.sampled_at_ns, line.explanation.text if line.explanation else "")
    return alarm


def at_rest(standing: Standing) -> State:
    """In which state a line is that sends samples, and is not in alarm."""
    if standing.learning:
        return State.LEARNING
    return State.STEADY if standing.shift else State.NORMAL


def silence(line: LineState, now_ns: int) -> State | None:
    """How late the next sample is; None: it is not. A stamp of the future is not late."""
    if line.latest is None:
        return State.OFFLINE
    return overdue((now_ns - line.latest.arrived_at_ns) / S_NS, (line.period_ns or 0) / S_NS)


def overdue(age_s: float, period_s: float) -> State | None:
    """How late a sample is whose predecessor arrived so long ago; period 0: nobody knows it."""
    if age_s > max(_OFFLINE_S, _OFFLINE_PERIODS * period_s):
        return State.OFFLINE
    return State.LATE if age_s > max(_LATE_S, _LATE_PERIODS * period_s) else None


def why(agent: AgentStatus, now_ns: int) -> str:
    """What a person should know of an agent, in one line. Foreign text is as it came."""
    said = [agent.connection]
    heard_ns, taken_ns = agent.heard_at_ns or 0, agent.taken_at_ns
    if taken_ns is not None and heard_ns - taken_ns > _PAST_S * S_NS:
        said.append(f"its latest sample was taken {ago(now_ns - taken_ns)} ago")
    if alarm := agent.alarm:
        name = "" if agent.state in (State.ALARM, State.ACKNOWLEDGED) else "ALARM "
        reason = alarm.reason.removeprefix("alarm: ") or "the predictor gives no reason"
        said.append(f"{name}since {local(alarm.since_ns)}: {reason}")
    if learning := agent.learning:
        said.append(f"{learning.seen}/{learning.needed} learned")
    if shift := agent.shift:
        said.append(shift if agent.state is State.STEADY else f"steady level {shift}")
    if (until_ns := agent.certificate_until_ns) and _is_due(until_ns, now_ns):
        said.append("renew its certificate")
    begun = agent.begun
    if begun and 0 <= now_ns - begun.at_ns < _NEWS_S * S_NS:
        when = ago(now_ns - begun.at_ns)
        said.append(f"predictor reset {when} ago: {begun.text}")
    return "; ".join(filter(None, said))


def ago(ns: int) -> str:
    """How long ago, in words."""
    return lasted(ns / S_NS)


def _silent_because(line: LineState, served_since_ns: int | None) -> str:
    stream = line.stream
    if stream and stream.kind is EventKind.ENDED:
        return "the agent ended its stream" if stream.text == ENDED_BY_AGENT else stream.text
    if served_since_ns is None:
        return "the broker stopped"
    if stream is None or stream.at_ns < served_since_ns:
        return "not connected since the broker started"
    return "connected, but sends no samples"


def _is_due(until_ns: int, now_ns: int) -> bool:
    return until_ns - now_ns < SOON.total_seconds() * S_NS


def local(at_ns: int) -> str:
    """As the broker's log writes times, and with the zone."""
    return f"{datetime.fromtimestamp(at_ns / S_NS).astimezone():%Y-%m-%d %H:%M:%S %Z}"
