"""Where samples come from: the hardware, or a file."""

from collections.abc import Mapping
from typing import Protocol

from quartet.channels import Values


class Source(Protocol):
    """Four channels that can be read. Used on the bus thread only, but for what it tells."""

    def read(self) -> Values | None:
        """Read all channels once; None at the end of a source that has one.

        A reading that failed is NaN. Raises SourceError when no further read can succeed.
        """
        ...

    def close(self) -> None:
        """Let go of the hardware or the file."""
        ...

    @property
    def faults(self) -> Mapping[str, int]:
        """How many readings had each kind of fault. Any thread."""
        ...

    @property
    def trouble(self) -> str:
        """What is wrong at the moment; empty when all is well. Any thread."""
        ...
