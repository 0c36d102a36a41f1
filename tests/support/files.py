"""The files of a spool as a test passes them in: it sees each commit, and spoils what it likes."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.spool.row import Key, Row
from agent.spool.schema import MIGRATIONS
from agent.spool.tier import Tier
from quartet.database import Synchronous


class Files:
    """Opens tiers, and calls its hooks as they are used; a hook may raise, or block.

    `before_*` get the path of the file. Nobody lets go of a lock meanwhile, so none is waited for.
    """

    def __init__(self, migrations: Sequence[str] = MIGRATIONS) -> None:
        self.migrations = migrations
        self.before_read: Callable[[Path], object] = _nothing
        self.before_write: Callable[[Path], object] = _nothing
        self.before_delete: Callable[[Path], object] = _nothing
        self.before_commit: Callable[[Path], object] = _nothing
        self.after_commit: Callable[[], object] = _nothing

    def __call__(self, path: Path, synchronous: Synchronous | None) -> Tier:
        return _HookedTier(self, path, synchronous)

    @contextmanager
    def meanwhile(self, **hooks: Callable[..., object]) -> Iterator[None]:
        """Use these hooks while entered, and none afterwards."""
        for hook, call in hooks.items():
            assert hasattr(self, hook)
            setattr(self, hook, call)
        try:
            yield
        finally:
            for hook in hooks:
                setattr(self, hook, _nothing)


class _HookedTier(Tier):
    def __init__(self, files: Files, path: Path, synchronous: Synchronous | None) -> None:
        self._files = files
        super().__init__(path, synchronous, migrations=files.migrations, busy_s=0.0)

    def read(self, after: Key, limit: int) -> list[Row]:
        self._files.before_read(self.path)
        return super().read(after, limit)

    def write(self, **what: Any) -> int:
        self._files.before_write(self.path)
        return super().write(**what)

    def delete(self) -> None:
        self._files.before_delete(self.path)
        super().delete()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with super()._transaction() as connection:
            yield connection
            self._files.before_commit(self.path)
        self._files.after_commit()


def _nothing(*_: object) -> None:
    pass
