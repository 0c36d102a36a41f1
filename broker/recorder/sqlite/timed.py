"""The transactions that commit samples, and how long each took."""

import sqlite3
from types import TracebackType

from quartet.clock import Clock


class Timed:
    """Entered, one transaction after another: commits what is written meanwhile, or nothing.

    One thread at a time; raises sqlite3.Error.
    """

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self._connection = connection
        self._execute = connection.cursor().execute
        self._monotonic = clock.monotonic
        self._began_s = self._locked_s = 0.0
        self.took_s = 0.0
        """How long the latest one took, all in all."""
        self.at_file_s = 0.0
        """How long of that it has waited for its lock and for its commit."""

    def __enter__(self) -> None:
        self._began_s = self._monotonic()
        self._execute("BEGIN IMMEDIATE")
        self._locked_s = self._monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        written_s = self._monotonic()
        try:
            if kind is None:
                self._execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._execute("ROLLBACK")
        ended_s = self._monotonic()
        self.took_s = ended_s - self._began_s
        self.at_file_s = self.took_s - (written_s - self._locked_s)
