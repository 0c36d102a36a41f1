"""The black box: four numbers in, one boolean out, with state per line.

What a class must have is Predictor's one method; what it may have besides is told by the other
protocols, and found by name. `broker check-predictor` tries all of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeGuard

from broker.model import Sample

_MAX_EXPLANATION = 500

OVER = "alarm is over: "
"""How an explanation begins that tells the end of an alarm."""

UNTIL_RESET = "in alarm until a reset"
"""What an explanation says of an alarm that waits for a person."""


class Predictor(Protocol):
    """One instance a line, made with the options of `[predictor.options]` as keyword arguments.

    Called for each sample once, in the order of the line, and never by two threads at a time. Of
    the same samples it must make the same answers, whatever the time, the other lines and chance
    do: after a crash it is rebuilt from its samples. A predictor that keeps state should also be
    a StatefulPredictor.
    """

    def predict(self, sample: Sample) -> bool:
        """Whether the sample calls for attention.

        Values may be NaN (a reading that failed) or infinite. Ids rise within a session, begin at
        0 with the next one, and may jump. What it raises ends the stream, and the instance.
        """
        ...


class StatefulPredictor(Predictor, Protocol):
    """A black box whose state survives the broker, however long its history is."""

    def snapshot(self) -> bytes:
        """The whole state, at most 1 MiB."""
        ...

    def restore(self, state: bytes) -> None:
        """Be in the state of a snapshot; called once, on a new instance."""
        ...


class ExplainingPredictor(Predictor, Protocol):
    """A black box that tells a person why."""

    def explain(self) -> str | None:
        """What is new with the latest answer, in one line; None: nothing.

        Asked after each sample. Logged and recorded beside the answer.
        """
        ...


class LearningPredictor(Predictor, Protocol):
    """A black box that learns what is normal before it judges."""

    def learning(self) -> tuple[int, int] | None:
        """How many samples it has learned from, and how many it needs; None: it has learned.

        Asked now and then, and not any more after None.
        """
        ...


class MeasuringPredictor(Predictor, Protocol):
    """A black box whose answer rests upon numbers."""

    def statistics(self) -> Mapping[str, tuple[float, float]]:
        """The numbers behind the latest answer by name, each with the limit above which it alarms.

        Asked by `broker evaluate --plot` alone.
        """
        ...


class ModelPredictor(Predictor, Protocol):
    """A black box that is more than its code and its options."""

    @classmethod
    def model(cls, **options: object) -> bytes:
        """The bytes of what it loads, a file say: another model is another black box."""
        ...


class NumberedPredictor(Predictor, Protocol):
    """A black box whose author says which versions of its code give the same answers.

    Without a number, any change of its source makes another black box of it. A class states its
    own: it inherits none.
    """

    algorithm: ClassVar[int | str]
    """Another one for each version of the code whose answers or whose state are others."""


class ShiftingPredictor(Predictor, Protocol):
    """A black box that follows a machine to a new level without a person who has agreed."""

    def shift(self) -> str | None:
        """How far the accepted level is off the first one, in a few words; None: not at all.

        "8.2 spreads off (sensor2 +7.9, sensor1 +2.1)". Asked now and then.
        """
        ...


@dataclass(frozen=True, slots=True)
class BlackBox:
    """What a broker answers with."""

    make: Callable[[], Predictor]
    """Give a fresh instance; may raise anything."""
    digest: str
    """Another one for another algorithm, model or options: a snapshot goes into its like alone."""


def is_stateful(predictor: Predictor) -> TypeGuard[StatefulPredictor]:
    """Whether a black box can tell its state and take it back."""
    return all(callable(getattr(predictor, name, None)) for name in ("snapshot", "restore"))


def explains(predictor: Predictor) -> TypeGuard[ExplainingPredictor]:
    """Whether a black box tells why."""
    return callable(getattr(predictor, "explain", None))


def learns(predictor: Predictor) -> TypeGuard[LearningPredictor]:
    """Whether a black box tells how far it is with learning."""
    return callable(getattr(predictor, "learning", None))


def shifts(predictor: Predictor) -> TypeGuard[ShiftingPredictor]:
    """Whether a black box tells how far it has followed its machine."""
    return callable(getattr(predictor, "shift", None))


def measures(predictor: Predictor) -> TypeGuard[MeasuringPredictor]:
    """Whether a black box tells its numbers."""
    return callable(getattr(predictor, "statistics", None))


def one_line(text: str) -> str:
    """What a black box says, as a log and a store can take it: no breaks, not too long."""
    encodable = text[:_MAX_EXPLANATION].encode(errors="replace").decode()
    return "".join(each if each.isprintable() else " " for each in encodable)
