"""The present run of answers that are True, followed answer by answer."""

from collections.abc import Callable

from broker.model import Alarm, Answer
from broker.records import taken_at_ns
from wire.metadata import StreamHeader


class AlarmTrack:
    """One line's alarm, over the samples of one stream's batch."""

    def __init__(
        self, alarm: Alarm | None, header: StreamHeader | None, time_ns: Callable[[], int]
    ) -> None:
        self.alarm = alarm
        """As it is behind the latest answer; None: that was False."""
        self._header = header
        self._time_ns = time_ns

    def follow(self, answer: Answer, said: str | None) -> None:
        """Take in the next answer, and what the predictor said of it, if anything."""
        if not answer.prediction:
            self.alarm = None
        elif self.alarm is None:
            since_ns = taken_at_ns(self._header, answer.id, self._time_ns())
            self.alarm = Alarm(since_ns, said or "")
        elif said and not self.alarm.reason:
            self.alarm = Alarm(self.alarm.since_ns, said)
