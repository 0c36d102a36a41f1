"""An alarm, followed answer by answer."""

from broker.alarms import AlarmTrack
from broker.model import Alarm, Answer


def test_a_reason_that_comes_later_is_the_alarms_and_the_first_one_stays() -> None:
    track = AlarmTrack(None, None, lambda: 5)
    for id_, said in enumerate([None, "", "sensor2 98%", "sensor3 60%", None]):
        track.follow(Answer(id_, True), said)
        assert track.alarm == Alarm(5, "sensor2 98%" if id_ >= 2 else "")
    track.follow(Answer(5, False), "sensor2 at rest")
    assert track.alarm is None
