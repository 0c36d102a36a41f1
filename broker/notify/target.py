"""Who receives messages."""

from typing import Protocol

from broker.notify.message import Message


class DeliveryError(Exception):
    """A try that failed; its text is for a person, and shows no secret.

    `is_final`: the receiver wants this very message never, and others perhaps.
    """

    def __init__(self, text: str, *, is_final: bool = False) -> None:
        super().__init__(text)
        self.is_final = is_final


class Target(Protocol):
    """A receiver. One task at a time."""

    @property
    def name(self) -> str:
        """What it is called in the log and in the file: of no two receivers the same."""
        ...

    async def send(self, message: Message) -> str:
        """Try once, within a bound; what it answered. DeliveryError: it may have it, or not."""
        ...
