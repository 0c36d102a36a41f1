from agent.spool.account import Fate
from agent.spool.fullness import Fullness


def test_dropped_samples_are_counted_by_the_reason() -> None:
    fullness = Fullness()
    fullness.dropped(Fate.FULL, 3, "")
    fullness.dropped(Fate.STALLED, 0, "")
    fullness.dropped(Fate.REFUSED, 5, "")
    fullness.ended()
    fullness.dropped(Fate.FULL, 1, "")
    assert fullness.counts == {Fate.FULL: 4, Fate.REFUSED: 5, Fate.STALLED: 0}
    assert fullness.count == 9
