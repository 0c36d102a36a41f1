"""What the host of a black box tells of its line."""

from broker.host import Host
from broker.model import Alarm, Learning, Sample, Standing


class Telling:
    """Tells what a test wants."""

    def __init__(self) -> None:
        self.seen: tuple[int, int] | None = 1, 2
        self.off: str | None = None

    def predict(self, _: Sample) -> bool:
        return False

    def learning(self) -> tuple[int, int] | None:
        return self.seen

    def shift(self) -> str | None:
        return self.off


def test_how_a_line_stands_is_another_object_when_it_changes_and_only_then() -> None:
    predictor = Telling()
    host = Host("press-4", predictor, keeps_state=False)
    assert host.standing() == Standing(Learning(1, 2))
    assert host.standing() is host.standing()
    predictor.seen = None
    assert host.standing() == Standing()
    alarm = Alarm(7, "MEWMA")
    assert host.standing(alarm) == Standing(None, alarm)
    predictor.off = "3.0 spreads off"
    assert host.standing(alarm) == Standing(None, alarm, "3.0 spreads off")
    assert host.standing(alarm) is host.standing(alarm)
    assert host.standing() == Standing(None, None, "3.0 spreads off")
