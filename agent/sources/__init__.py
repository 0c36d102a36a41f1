"""Where samples come from: the hardware, or a file."""

from typing import Protocol

from quartet.channels import Values


class Source(Protocol):
    """Four channels that can be read. Used on the bus thread only."""

    def read(self) -> Values | None:
        """Read all channels once; None at the end of a source that has one.

        Raises SourceError when no further read can succeed.
        """
        ...

    def close(self) -> None:
        """Let go of the hardware or the file."""
        ...
