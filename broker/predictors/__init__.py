"""The black box: four numbers in, one boolean out, with state per line."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeGuard

from broker.model import Sample


class Predictor(Protocol):
    """One instance a line, made with the options of `[predictor.options]` as keyword arguments.

    Called for each sample once, in the order of the line. A predictor that keeps
    state should also be a StatefulPredictor.
    """

    def predict(self, sample: Sample) -> bool:
        """Whether the sample calls for attention."""
        ...


class StatefulPredictor(Predictor, Protocol):
    """A black box whose state survives the broker, however long its history is."""

    def snapshot(self) -> bytes:
        """The whole state, at most 1 MiB."""
        ...

    def restore(self, state: bytes) -> None:
        """Be in the state of a snapshot; called once, on a new instance."""
        ...


@dataclass(frozen=True, slots=True)
class BlackBox:
    """What a broker answers with."""

    make: Callable[[], Predictor]
    """Give a fresh instance; may raise anything."""
    digest: str
    """Another one for another code or other options: a snapshot is restored into its like alone."""


def keeps_state(predictor: Predictor) -> TypeGuard[StatefulPredictor]:
    """Whether a black box can tell its state and take it back."""
    return all(callable(getattr(predictor, name, None)) for name in ("snapshot", "restore"))
