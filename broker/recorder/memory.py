"""The recorder that keeps nothing: what lines remember by themselves goes with the broker."""

from collections.abc import Sequence

from broker.model import Answer
from broker.recorder import Batch, Found, History
from wire.metadata import StreamHeader


class MemoryRecorder:
    """Never waits, never fails."""

    history: History | None = None

    async def find(self, _: StreamHeader | None) -> Found:
        """Nothing is known, and numbers mean nothing here."""
        return Found(0, 0, None)

    async def record(self, batch: Batch) -> None:
        """Forget it at once."""

    async def answers(self, _session: int, _first_id: int, _count: int) -> Sequence[Answer]:
        """None is known."""
        return ()

    def rebase(self, _: str) -> int:
        """There is nobody who could command."""
        return 0

    def end(self, line: int) -> None:
        """Nothing was kept of it."""
