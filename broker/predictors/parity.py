"""The stand-in that other implementations of the wire use: for wire tests."""

from broker.model import Sample


class Parity:
    """True for an even id."""

    def predict(self, sample: Sample) -> bool:
        """Whether the id is even."""
        return sample.id % 2 == 0

    def snapshot(self) -> bytes:
        """Nothing: there is no state."""
        return b""

    def restore(self, state: bytes) -> None:
        """Nothing to do."""
