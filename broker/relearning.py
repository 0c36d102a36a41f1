"""Tells that predictors learn again: the first lines one by one, the others as a sum."""

import logging
from typing import NamedTuple

from broker.predictors import Predictor, learns
from quartet.duration import lasted
from quartet.foreign import described
from quartet.plural import counted

log = logging.getLogger(__name__)

# Named one by one. A plant of more agents is told how many, not a page of names.
_MOST_NAMED = 10


class Relearning:
    """What is said after the first start with another predictor. Loop only."""

    def __init__(self, most_named: int = _MOST_NAMED) -> None:
        self._room = most_named
        self._more: list[_Begun] = []

    def begun(self, name: str, predictor: Predictor, replayed: int, period_ns: int) -> None:
        """Say that the predictor of a line begins again, after so many samples were replayed.

        `period_ns`: between samples; 0: not known.
        """
        left = _left(predictor)
        begun = _Begun(name, replayed, left, left * period_ns / 1e9)
        if self._room:
            self._room -= 1
            begun.tell()
        else:
            self._more.append(begun)

    def sum_up(self) -> None:
        """Say how many more lines there were since the last time, if any; of one, which it is."""
        more, self._more = self._more, []
        if len(more) == 1:
            more[0].tell()
        elif more:
            longest_s = max(each.left_s for each in more)
            rest = f", the longest for another {lasted(longest_s)}" if longest_s else ""
            log.warning(
                "%s more: their snapshots are of another predictor too, and are kept: this"
                " one learns again%s",
                *(counted(len(more), "agent"), rest),
            )


class _Begun(NamedTuple):
    """A line whose predictor begins again."""

    name: str
    replayed: int
    left: int
    """How many samples it still learns from."""
    left_s: float
    """How long that takes; 0: not known."""

    def tell(self) -> None:
        time = f" ({lasted(self.left_s)})" if self.left_s else ""
        rest = f", and from {counted(self.left, 'more sample')}{time}" if self.left else ""
        log.warning(
            "%s: its snapshot is of another predictor (code, model or options), and is kept in"
            " case that one comes back: this one learns again from the latest %s%s",
            *(self.name, counted(self.replayed, "recorded sample"), rest),
        )


def _left(predictor: Predictor) -> int:
    """How many samples it still learns from; 0 also where it does not say so."""
    if not learns(predictor):
        return 0
    try:
        told = predictor.learning()
        return max(0, told[1] - told[0]) if told else 0
    except BaseException as error:  # whatever a black box raises; its host will say so
        log.debug("no number of samples to learn from: %s", described(error))
        return 0
