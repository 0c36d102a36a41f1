"""Alarms that no answer ends: of a simulation that is over, and where a person has reset."""

from broker.judged import present_alarm, silence
from broker.recorder.reader import LineState


def is_over(line: LineState, now_ns: int) -> bool:
    """Whether the alarm of a line is over, although no False answer has ended it."""
    if line.is_rehearsal and silence(line, now_ns):
        return True
    is_false = line.latest is not None and not line.latest.prediction
    return not is_false and present_alarm(line) is None
