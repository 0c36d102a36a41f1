"""Whether it may not be the agents that are silent: nothing is recorded of any of them."""

from broker.judged import S_NS, ago
from broker.recorder.reader import LineState
from broker.records import EventKind
from quartet.plural import counted

# Nothing from anybody for so long is news, where agents are connected.
_NOTHING_NS = 10 * S_NS

# How long a connected agent may take to its first sample, or more periods of a slow one.
_PATIENCE_NS = 10 * S_NS
_PATIENCE_PERIODS = 3


def should_be_heard(line: LineState, served_since_ns: int, now_ns: int) -> bool:
    """Whether an agent is connected, and long enough for a sample to be expected."""
    stream = line.stream
    if stream is None or stream.kind is not EventKind.OPENED or line.is_rehearsal:
        return False
    patience_ns = max(_PATIENCE_NS, _PATIENCE_PERIODS * (line.period_ns or 0))
    return stream.at_ns >= served_since_ns and now_ns - stream.at_ns > patience_ns


def nothing_recorded(expected: int, newest_ns: int, now_ns: int) -> str:
    """What to say if agents should be heard and none is; else empty."""
    if not expected or now_ns - newest_ns <= _NOTHING_NS:
        return ""
    connected = counted(expected, "agent", "is", "are")
    return (
        f"no sample was recorded for {ago(now_ns - newest_ns)}, although {connected}"
        " connected: look at the log of the broker"
    )
