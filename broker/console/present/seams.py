"""What the present asks of the console's book."""

from collections.abc import Mapping
from typing import Protocol


class Acknowledged(Protocol):
    """That somebody knows of an alarm."""

    @property
    def at_ns(self) -> int:
        """When it was said."""
        ...

    @property
    def by(self) -> str:
        """A person's name."""
        ...

    @property
    def note(self) -> str:
        """What the person said of it."""
        ...


class OpenAlarm(Protocol):
    """An alarm that has not ended, as far as the book was read."""

    @property
    def begun_at_ns(self) -> int:
        """When its first sample was taken: with the agent it names the alarm."""
        ...

    @property
    def acknowledged(self) -> Acknowledged | None:
        """None: nobody has said so."""
        ...


class AlarmBook(Protocol):
    """Raises StoreError."""

    @property
    def read_at_s(self) -> float:
        """All that was on record then, by the monotonic clock, is in open_alarms()."""
        ...

    async def open_alarms(self) -> Mapping[str, OpenAlarm]:
        """By agent id."""
        ...

    async def behind(self) -> str:
        """Words for a page while history is still being read; empty: it has been."""
        ...
