"""The black box: four numbers in, one boolean out, with state per line."""

from typing import Protocol

from broker.model import Sample


class Predictor(Protocol):
    """One instance a line, made with the options of `[predictor.options]` as keyword arguments.

    Called for each sample once, in the order of the line. A predictor that
    keeps state may also have `snapshot(self) -> bytes`, the whole state, and
    `restore(self, state: bytes) -> None`.
    """

    def predict(self, sample: Sample) -> bool:
        """Whether the sample calls for attention."""
        ...
