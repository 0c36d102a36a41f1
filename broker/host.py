"""The host of one black box: asks it, and takes whatever it raises for its own."""

import logging

from broker.elapsed import with_time
from broker.model import Alarm, Answer, Learning, Sample, Standing
from broker.predictors import (
    ExplainingPredictor,
    LearningPredictor,
    Predictor,
    ShiftingPredictor,
    StatefulPredictor,
    explains,
    is_stateful,
    learns,
    one_line,
    shifts,
)
from broker.records import MAX_SNAPSHOT_BYTES, SNAPSHOT_EVERY
from quartet.foreign import described

log = logging.getLogger(__name__)

# More than any line has, and within what a store and the wire hold.
_MOST_SAMPLES = 2**62


class Host:
    """A black box at work for one line. One thread at a time."""

    def __init__(
        self,
        name: str,
        predictor: Predictor,
        *,
        keeps_state: bool,
        unsaved: int = 0,
        snapshot_every: int = SNAPSHOT_EVERY,
    ) -> None:
        self._name = name
        self._predictor = predictor
        self._stateful: StatefulPredictor | None = None
        if keeps_state and is_stateful(predictor):
            self._stateful = predictor
        self._explaining: ExplainingPredictor | None = predictor if explains(predictor) else None
        self._learning: LearningPredictor | None = predictor if learns(predictor) else None
        self._shifting: ShiftingPredictor | None = predictor if shifts(predictor) else None
        self._snapshot_every = snapshot_every
        self._unsaved = unsaved
        self._standing = Standing()

    def ask(self, sample: Sample) -> bool:
        """The prediction. Raises whatever the black box raises; it is useless from then on."""
        prediction = self._predictor.predict(sample)
        if prediction is None:
            raise TypeError("predict() returned None")
        self._unsaved += 1
        return bool(prediction)

    @property
    def has_more(self) -> bool:
        """Whether there may be an explanation, or a snapshot is due."""
        return self._explaining is not None or self.is_due

    def explain(self, answer: Answer, period_ns: int) -> str | None:
        """What the black box has to say about its latest answer, logged; None: nothing.

        `period_ns`: between samples; 0: not known. One that cannot say is not asked again.
        """
        if self._explaining is None:
            return None
        try:
            said = self._explaining.explain()
            text = None if said is None else one_line(with_time(str(said), period_ns))
        except BaseException as error:  # whatever a black box raises
            self._explaining = None
            log.warning(
                "%s: its predictor cannot explain its answers (%s), and is not asked again",
                *(self._name, described(error)),
            )
            return None
        if text is not None:
            level = logging.WARNING if answer.prediction else logging.INFO
            log.log(level, "%s: sample %d: %s", self._name, answer.id, text)
        return text

    def learning(self) -> Learning | None:
        """How far the black box is with learning; None: it has learned, or does not say.

        One that cannot say is not asked again.
        """
        if self._learning is None:
            return None
        try:
            told = self._learning.learning()
            if told is not None:
                return _learning(*told)
        except BaseException as error:  # whatever a black box raises
            log.warning(
                "%s: its predictor cannot tell how far it is with learning (%s), and is not asked"
                " again",
                *(self._name, described(error)),
            )
        self._learning = None
        return None

    def standing(self, alarm: Alarm | None = None) -> Standing:
        """How the line stands by what the black box tells now, and by its alarm.

        The same object as before, if that has not changed.
        """
        learning, shift, was = self.learning(), self._shift(), self._standing
        if learning != was.learning or alarm is not was.alarm or shift != was.shift:
            self._standing = Standing(learning, alarm, shift)
        return self._standing

    def _shift(self) -> str | None:
        """How far the accepted level is off the first one; None: not at all, or it does not say.

        One that cannot say is not asked again.
        """
        if self._shifting is None:
            return None
        try:
            told = self._shifting.shift()
            return None if told is None else one_line(str(told))
        except BaseException as error:  # whatever a black box raises
            self._shifting = None
            log.warning(
                "%s: its predictor cannot tell how far it has followed its machine (%s), and is"
                " not asked again",
                *(self._name, described(error)),
            )
            return None

    @property
    def is_due(self) -> bool:
        """Whether it has seen enough samples since its latest snapshot for another one."""
        return self._unsaved >= self._snapshot_every and self._stateful is not None

    @property
    def gives_state(self) -> bool:
        """Whether snapshot() may give a state."""
        return self._stateful is not None

    def snapshot(self) -> bytes | None:
        """The whole state; None where it gives none. The first that fails is the last tried."""
        self._unsaved = 0
        if self._stateful is None:
            return None
        try:
            return _checked(self._stateful.snapshot())
        except BaseException as error:  # whatever a black box raises
            self._stateful = None
            log.warning(
                "%s: its predictor gives no snapshot (%s): after a restart it is rebuilt from its"
                " latest samples",
                *(self._name, described(error)),
            )
            return None


def _checked(state: object) -> bytes:
    if not isinstance(state, bytes):
        raise TypeError(f"snapshot() returned {type(state).__name__}, not bytes")
    if len(state) > MAX_SNAPSHOT_BYTES:
        raise ValueError(f"{len(state)} bytes, but at most {MAX_SNAPSHOT_BYTES} are allowed")
    return state


def _learning(seen: int, needed: int) -> Learning | None:
    """What a black box has told, if that can be; None: it has seen all that it needs."""
    if not (0 <= seen <= _MOST_SAMPLES and 0 <= needed <= _MOST_SAMPLES):
        raise ValueError(f"learning() returned ({seen}, {needed})")
    return Learning(int(seen), int(needed)) if seen < needed else None
