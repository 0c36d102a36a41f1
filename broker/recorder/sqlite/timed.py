"""The transactions that commit samples, and how long each was at the file."""

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
        self.at_file_s = 0.0
        """How long the latest one has waited for its lock and for its commit."""

    def __enter__(self) -> None:
        began_s = self._monotonic()
        self._execute("BEGIN IMMEDIATE")
        self.at_file_s = self._monotonic() - began_s

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                began_s = self._monotonic()
                self._execute("COMMIT")
                self.at_file_s += self._monotonic() - began_s
        finally:
            if self._connection.in_transaction:
                self._execute("ROLLBACK")
