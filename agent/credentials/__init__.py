"""How the agent shows who it is, and knows its broker: by TLS, or not at all."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import grpc

from agent.reason import Reason

Options = Sequence[tuple[str, int | str]]


class Credentials(Protocol):
    """What a channel is opened with. Loop only."""

    def open_channel(self, target: str, options: Options) -> grpc.aio.Channel:
        """A channel with the files as they are now."""
        ...

    def open_beside(self, target: str, options: Options) -> grpc.aio.Channel:
        """A channel for a question beside the latest one, which stays the latest."""
        ...

    def is_stale(self) -> bool:
        """Whether the files are others than those of the latest channel."""
        ...

    def refresh(self) -> None:
        """Look at the files at once."""
        ...

    @property
    def is_tls(self) -> bool:
        """Whether there is TLS."""
        ...

    @property
    def expiry(self) -> datetime | None:
        """When this device's certificate expires; None: it has none."""
        ...

    def reason_of(self, details: str) -> Reason | None:
        """What gRPC's reason for having no connection says of TLS; None: nothing."""
        ...

    def remind(self) -> None:
        """Log what is not valid, or soon will not be."""
        ...


class Plaintext:
    """No TLS: on loopback, or by the user's word."""

    def open_channel(self, target: str, options: Options) -> grpc.aio.Channel:
        """Open one in the clear."""
        return grpc.aio.insecure_channel(target, options)

    def open_beside(self, target: str, options: Options) -> grpc.aio.Channel:
        """Open another one in the clear."""
        return self.open_channel(target, options)

    def is_stale(self) -> bool:
        """Never: there are no files."""
        return False

    def refresh(self) -> None:
        """There are no files."""

    @property
    def is_tls(self) -> bool:
        """There is none."""
        return False

    @property
    def expiry(self) -> datetime | None:
        """There is no certificate."""
        return None

    def reason_of(self, details: str) -> Reason | None:  # noqa: ARG002 - as the protocol has it
        """None: without TLS, no message is about it."""
        return None

    def remind(self) -> None:
        """Nothing expires."""
