"""Messages in words: short, plain, and with foreign text escaped."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from broker.feed import FORGOTTEN, Event, Kind
from broker.judged import S_NS, ago, local
from broker.notify.message import SUMMARY, TEST, Message, id_of
from quartet.foreign import shown
from quartet.plural import counted
from wire.sensors import Sensors

_SENSOR = re.compile(r"\bsensor([1-4])\b")

# In a summary: agents that are named, and events for programs.
_MOST_NAMED = 20
_MOST_EVENTS = 200

_MOST_IN_REASON = 500

_PHRASES = {
    Kind.ALARM_BEGUN: ("alarm begins", "alarms begin"),
    Kind.ALARM_CHANGED: ("alarm changes", "alarms change"),
    Kind.ALARM_ENDED: ("alarm is over", "alarms are over"),
    Kind.AGENT_SILENT: ("agent is silent", "agents are silent"),
    Kind.AGENT_BACK: ("agent is back", "agents are back"),
    Kind.CERTIFICATE_EXPIRES: ("certificate expires", "certificates expire"),
    Kind.RECORDER_FAILS: ("failure of the recorder", "failures of the recorder"),
    Kind.RECORDER_WORKS: ("end of such a failure", "ends of such failures"),
}


def single(event: Event, *, more: int = 0, keys: Sequence[str] = ()) -> Message:
    """A message on one event; `more` others of the same agent came before it, with these keys."""
    lines = [*_lines(event)]
    if more:
        before = counted(more, "earlier change")
        lines.append(f"No message was sent on {before} of this in the last minutes.")
    return Message(
        id_of([event.key, *keys]),
        *(str(event.kind), event.known_at_ns, _subject(event), "\n".join(lines)),
        [document(event)],
        {str(event.kind): more + 1},
    )


def summary(events: Sequence[Event], keys: Sequence[str], more: int = 0) -> Message:
    """One message on many events; `more` others came before them, with all these keys."""
    counts = Counter(str(event.kind) for event in events)
    listed = [f"- {_subject(event)}" for event in _by_need(events)[:_MOST_NAMED]]
    if (left := len(events) - len(listed)) > 0:
        listed.append(f"- and {left} more")
    total = phrases(counts)
    return Message(
        id_of(keys),
        SUMMARY,
        max(event.known_at_ns for event in events),
        f"{counted(len(events), 'event')}: {total}",
        "\n".join([f"At once: {total}.", *listed]),
        [document(event) for event in events[:_MOST_EVENTS]],
        {**counts, **({"earlier": more} if more else {})},
    )


def unsent(messages: Sequence[Message]) -> Message:
    """One message in place of many that could not be sent for long."""
    counts: Counter[str] = Counter()
    for message in messages:
        counts.update(message.counts)
    first, last = messages[0], messages[-1]
    told = phrases(counts)
    span = f"from {local(first.at_ns)} to {local(last.at_ns)}"
    return Message(
        id_of(each.id for each in messages),
        *(SUMMARY, last.at_ns, f"{counted(counts.total(), 'older event')}: {told}"),
        f"This receiver could not be reached for long. Events {span}: {told}.\n"
        "They are not told one by one.",
        [],
        dict(counts),
    )


def trial(at_ns: int) -> Message:
    """What `--test` sends."""
    text = "This is a test of 'broker notify'. Nothing has happened."
    return Message(id_of([f"test/{at_ns}"]), TEST, at_ns, "test of Quartet", text, [], {})


def phrases(counts: Mapping[str, int]) -> str:
    """How many of which kind: "3 alarms begin, 1 agent is silent"."""
    told = [
        f"{counts[kind]} {one if counts[kind] == 1 else many}"
        for kind, (one, many) in _PHRASES.items()
        if counts.get(kind)
    ]
    earlier = counts.get("earlier")
    return ", ".join([*told, *([counted(earlier, "earlier change")] if earlier else [])])


def document(event: Event) -> dict[str, Any]:
    """An event for programs. Text is as it came."""
    told: dict[str, Any] = {
        "kind": str(event.kind),
        "agent": event.agent_id or None,
        "at": _iso(event.at_ns),
        "known_at": _iso(event.known_at_ns),
        "reason": event.reason,
    }
    if event.alarm_ns is not None:
        told["alarm"] = str(event.alarm_ns)
        told["alarm_begun_at"] = _iso(event.alarm_ns)
        told["waits_for_person"] = event.waits_for_person
    if event.sensors is not None:
        told["sensors"] = [each.name if each else None for each in event.sensors]
    if event.lasted_ns is not None:
        told["lasted_s"] = round(event.lasted_ns / S_NS, 3)
    if event.kind is Kind.CERTIFICATE_EXPIRES:
        told["days_left"] = event.days_left
    return told


def _subject(event: Event) -> str:
    name, since, lasted = shown(event.agent_id), local(event.at_ns), ago(event.lasted_ns or 0)
    match event.kind:
        case Kind.ALARM_BEGUN:
            waits = ", waits for a person" if event.waits_for_person else ""
            text = f"{name}: ALARM since {since}{waits}"
        case Kind.ALARM_CHANGED:
            changed = "waits for a person" if event.waits_for_person else "has another cause"
            text = f"{name}: ALARM {changed}"
        case Kind.ALARM_ENDED if event.reason == FORGOTTEN:
            text = f"{name}: was forgotten while in alarm"
        case Kind.ALARM_ENDED:
            text = f"{name}: alarm is over after {lasted}"
        case Kind.AGENT_SILENT:
            text = f"{name}: SILENT since {since}"
        case Kind.AGENT_BACK:
            text = f"{name}: is back after {lasted}"
        case Kind.CERTIFICATE_EXPIRES:
            text = f"{name}: certificate {_expiry(event)}"
        case Kind.RECORDER_FAILS:
            text = f"no samples are recorded since {since}"
        case Kind.RECORDER_WORKS:
            text = f"samples are recorded again after {lasted}"
    return text


def _lines(event: Event) -> list[str]:
    name, since, lasted = shown(event.agent_id), local(event.at_ns), ago(event.lasted_ns or 0)
    begun = local(event.alarm_ns or 0)
    why = _why(event.reason, event.sensors)
    match event.kind:
        case Kind.ALARM_BEGUN:
            why = why or "the predictor gives no reason"
            lines = [f"Agent {name} is in alarm since {since}.", f"Why: {why}.", *_waits(event)]
        case Kind.ALARM_CHANGED:
            lines = [f"Agent {name} is in alarm since {begun}.", f"New: {why}.", *_waits(event)]
        case Kind.ALARM_ENDED if event.reason == FORGOTTEN:
            lines = [
                f"Agent {name} was forgotten by 'broker forget'. It was in alarm since {begun}.",
                "No message will tell when the machine is well again.",
            ]
        case Kind.ALARM_ENDED:
            said = [f"The predictor said: {why}."] if why else []
            lines = [f"Agent {name} was in alarm from {begun}, for {lasted}.", *said]
        case Kind.AGENT_SILENT:
            lines = [f"No sample of agent {name} arrived since {since}.", f"Why: {why}."]
        case Kind.AGENT_BACK:
            lines = [f"Samples of agent {name} arrive again, after {lasted}."]
        case Kind.CERTIFICATE_EXPIRES:
            remedy = f"Renew it: 'broker pki issue {name}' makes a new one."
            lines = [f"The certificate of agent {name} {_expiry(event)}: {since}.", remedy]
        case Kind.RECORDER_FAILS:
            lines = [f"No samples are recorded since {since}.", f"Why: {why}."]
        case Kind.RECORDER_WORKS:
            lines = [f"Samples are recorded again, after {lasted}."]
    return lines


def _waits(event: Event) -> list[str]:
    if not event.waits_for_person:
        return []
    name = shown(event.agent_id)
    return [
        "This alarm waits for a person. It stays until somebody resets the predictor:"
        f" 'broker rebase {name}', or the button in the console."
    ]


def _why(reason: str, sensors: Sensors | None) -> str:
    """A reason with the names that people call the sensors."""

    def named(match: re.Match[str]) -> str:
        label = sensors[int(match[1]) - 1] if sensors else None
        is_named = label is not None and label.name != match[0]
        return f"{label.name} ({match[0]})" if label and is_named else match[0]

    return shown(_SENSOR.sub(named, reason.removeprefix("alarm: ")), _MOST_IN_REASON).rstrip(".")


def _expiry(event: Event) -> str:
    if not event.days_left:
        return "has expired"
    return f"expires within {counted(event.days_left, 'day')}"


def _by_need(events: Sequence[Event]) -> list[Event]:
    """The alarms first."""
    order = list(_PHRASES)
    return sorted(events, key=lambda event: (order.index(event.kind), event.agent_id))


def _iso(at_ns: int) -> str:
    return f"{datetime.fromtimestamp(at_ns / S_NS, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
