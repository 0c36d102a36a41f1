"""What the agent is doing now: one value, and how a person is told. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from agent.model import Learning
from quartet.clock import stamp
from quartet.duration import lasted
from quartet.foreign import shown
from quartet.plural import counted
from wire.sensors import Label

# A prediction is behind when its sample is older than this: a round trip is shorter.
_BEHIND_S = 5.0

_SENSOR = re.compile(r"\bsensor([1-4])\b")


class LinkState(StrEnum):
    """What the link is doing."""

    CONNECTING = "connecting"
    STREAMING = "streaming"
    WAITING = "waiting"
    REFUSED = "refused"


class AlarmState(StrEnum):
    """What the alarm output does, as a person is told."""

    ON = "on"
    OFF = "off"
    STALE = "in its safe state"
    HELD = "held"


class Outcome(StrEnum):
    """What became of the wish to release the alarm output."""

    RELEASED = "released"
    NOT_OVER = "the alarm is not over"
    NOT_HELD = "not held"
    NO_PIN = "the pin cannot be used"


@dataclass(frozen=True, slots=True)
class Release:
    """The answer to who asks to release the alarm output."""

    outcome: Outcome
    held_since_ns: int | None
    """Unix ns; None: it was not held."""
    output: str
    """What the output does after it; empty: there is none."""


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest prediction."""

    session_id: str
    sample_id: int
    sampled_at_ns: int
    value: bool


@dataclass(frozen=True, slots=True)
class State:
    """The agent's state at one moment. Times are Unix ns."""

    at_ns: int
    agent_id: str
    broker: str
    link: LinkState
    link_since_ns: int
    """When it began to stream, or to be without a stream."""
    link_trouble: str
    """Why there is no stream."""
    waiting: int
    """Number of samples without an answer."""
    prediction: Latest | None
    learning: Learning | None
    """None: the predictor has learned, or does not learn, or nobody says so."""
    alarm_since_ns: int | None
    """When the first sample of the present alarm was taken; None without an alarm."""
    alarm_reason: str
    """As the predictor gives it: it calls the sensors sensor1 to sensor4."""
    sensors: tuple[Label | None, ...]
    """What a person calls them; None: there is no sensor."""
    source_trouble: str
    spool_trouble: str
    output: str
    """What the alarm output does; empty: there is none."""
    output_held_since_ns: int | None = None
    """Since when it is held on for a person to release; None: it is not held."""
    home: str = ""
    """The broker that the agent prefers, of several; empty: it knows one alone."""
    mqtt: str = ""
    """The MQTT server and whether it is told; empty: there is none."""

    @property
    def needs_person(self) -> bool:
        """Whether something is not as it should be."""
        is_streaming = self.link is LinkState.STREAMING
        troubles = self.source_trouble or self.spool_trouble
        alarm = self.alarm_since_ns is not None or self.output_held_since_ns is not None
        return not is_streaming or alarm or bool(troubles)


def line(state: State) -> str:
    """The state on one line. It starts with "streaming" exactly when the agent streams."""
    said = ", ".join([_link(state), *_predictor(state), *_backlog(state)])
    output = f"alarm output {_output(state)}" if state.output else ""
    return "; ".join(filter(None, (said, output, state.source_trouble, state.spool_trouble)))


def details(state: State) -> list[tuple[str, str]]:
    """Names and values, for one who wants to know all of it."""
    return [
        ("broker", state.broker + _home(state)),
        ("connection", _connection(state)),
        ("waiting", counted(state.waiting, "sample")),
        ("prediction", _prediction(state)),
        ("learning", _learning(state.learning)),
        ("alarm", _alarm(state)),
        ("alarm output", _output(state) or "none"),
        *([("MQTT server", state.mqtt)] if state.mqtt else []),
        ("sensors", state.source_trouble or "no trouble"),
        ("spool", state.spool_trouble.removeprefix("spool: ") or "no trouble"),
    ]


def _home(state: State) -> str:
    if not state.home:
        return ""
    return f", away from its home {state.home}" if _is_away(state) else ", its home"


def _is_away(state: State) -> bool:
    return bool(state.home) and state.home != state.broker


def _connection(state: State) -> str:
    name = "none" if state.link is LinkState.WAITING else state.link
    trouble = f": {state.link_trouble}" if state.link_trouble else ""
    return f"{name} for {lasted(_since_s(state, state.link_since_ns))}{trouble}"


def _link(state: State) -> str:
    duration = lasted(_since_s(state, state.link_since_ns))
    trouble = f" ({state.link_trouble})" if state.link_trouble else ""
    match state.link:
        case LinkState.STREAMING:
            return f"streaming to {state.broker}" + (_home(state) if _is_away(state) else "")
        case LinkState.CONNECTING:
            return f"connecting to {state.broker} for {duration}{trouble}"
        case LinkState.WAITING:
            return f"no connection to {state.broker} for {duration}{trouble}"
        case LinkState.REFUSED:
            return f"{state.broker} refuses the stream for {duration}{trouble}"


def _predictor(state: State) -> Iterator[str]:
    if state.link is not LinkState.STREAMING:
        return
    if state.learning:
        yield f"learning {state.learning.seen}/{state.learning.needed}"
    if state.alarm_since_ns is not None:
        yield _alarm(state)
    elif state.prediction and not state.learning:
        yield "no alarm"


def _backlog(state: State) -> Iterator[str]:
    waiting = counted(state.waiting, "sample", "waits", "wait")
    if state.link is not LinkState.STREAMING:
        yield waiting
    elif state.prediction and state.waiting > 1:
        behind_s = _since_s(state, state.prediction.sampled_at_ns)
        if behind_s > _BEHIND_S:
            yield f"{waiting}, {lasted(behind_s)} behind"


def _alarm(state: State) -> str:
    if state.alarm_since_ns is None:
        return "none"
    reason = f": {_reason(state)}" if state.alarm_reason else ""
    return f"ALARM for {lasted(_since_s(state, state.alarm_since_ns))}{reason}"


def _output(state: State) -> str:
    since_ns = state.output_held_since_ns
    if since_ns is None:
        return state.output
    return f"held since {stamp(since_ns)}, waits for a person ('agent release')"


def _reason(state: State) -> str:
    """The reason, with the sensors as a person calls them."""

    def called(found: re.Match[str]) -> str:
        label = state.sensors[int(found[1]) - 1]
        return shown(label.name) if label else found[0]

    return _SENSOR.sub(called, state.alarm_reason.removeprefix("alarm: "))


def _prediction(state: State) -> str:
    latest = state.prediction
    if latest is None:
        return "none yet"
    age = lasted(_since_s(state, latest.sampled_at_ns))
    return f"{latest.value}, of sample {latest.sample_id}, taken {age} ago"


def _learning(learning: Learning | None) -> str:
    if learning is None:
        return "not now"
    return f"{learning.seen} of {counted(learning.needed, 'sample')}"


def _since_s(state: State, then_ns: int) -> float:
    return (state.at_ns - then_ns) / 1e9
