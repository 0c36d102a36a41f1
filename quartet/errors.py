"""Errors whose text is a message to a person: what failed, on what, and what to do next.

QuartetError
├── SettingsError   the command line or a configuration file; nothing was started
├── TableError      a CSV of samples, named by file, line and column
├── StoreError      a spool or a recorder that cannot be used
│   ├── InUseError         by another process
│   ├── NewerSchemaError   written by a newer version
│   ├── OlderSchemaError   written by an older one, and only to be read here
│   └── DamagedError       torn or overwritten
├── AgentError      see agent.errors
└── BrokerError     see broker.errors
"""

from pathlib import Path


class QuartetError(Exception):
    """Something that a person can cause, and mend; shown without a traceback."""


class SettingsError(QuartetError, ValueError):
    """A command line or configuration that cannot be run."""


class TableError(QuartetError, ValueError):
    """A CSV that is not a table of samples."""


class StoreError(QuartetError, OSError):
    """A file that keeps samples and cannot be used; `path`, where one file alone is meant."""

    def __init__(self, message: str, path: Path | None = None) -> None:
        super().__init__(message)
        self.path = path


class InUseError(StoreError):
    """What another process owns; `owner` is its id, or "unknown"."""

    def __init__(self, message: str, owner: str) -> None:
        super().__init__(message)
        self.owner = owner


class NewerSchemaError(StoreError):
    """A file that a newer version has written; `version` is its schema's."""

    def __init__(self, message: str, version: int) -> None:
        super().__init__(message)
        self.version = version


class OlderSchemaError(StoreError):
    """A file that its owner has not brought up to date; version 0 has no tables yet."""

    def __init__(self, message: str, version: int) -> None:
        super().__init__(message)
        self.version = version


class DamagedError(StoreError):
    """A file that is torn, overwritten, or was never a database."""
