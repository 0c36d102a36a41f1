"""Where samples come from: the hardware, or a file."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from quartet.channels import CHANNELS, Values
from wire.sensors import Label

LABELS = tuple(Label(f"sensor{number}") for number in range(1, CHANNELS + 1))
"""Of a source that has no names for its channels."""


class Source(Protocol):
    """Four channels that can be read. Used on the bus thread only, but for what it tells."""

    def read(self) -> Values | None:
        """Read all channels once; None at the end of a source that has one.

        A reading that failed is NaN. Raises SourceError when no further read can succeed.
        """
        ...

    @property
    def due_ns(self) -> int | None:
        """When the next row is due, in ns after the first one; None: whenever it is asked for."""
        ...

    def close(self) -> None:
        """Let go of the hardware or the file."""
        ...

    @property
    def labels(self) -> Sequence[Label | None]:
        """Name and unit of each channel; None: there is no sensor. Any thread."""
        ...

    @property
    def faults(self) -> Mapping[str, int]:
        """How many readings had each kind of fault. Any thread."""
        ...

    @property
    def trouble(self) -> str:
        """What is wrong at the moment; empty when all is well. Any thread."""
        ...
