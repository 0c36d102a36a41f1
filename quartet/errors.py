"""Errors whose text is a message to a person: what failed, on what, and what to do next.

QuartetError
├── SettingsError   the command line or a configuration file; nothing was started
├── PortError       where nothing can listen
├── StdoutError     standard output takes nothing more
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

from quartet.foreign import shown

# Of one line of a message. What is foreign in it has a lower bound of its own.
_MOST_IN_LINE = 2000


class QuartetError(Exception):
    """Something that a person can cause, and mend; shown without a traceback.

    Its arguments are the lines of its text, usually one: what a peer or a file put into them
    is escaped, and breaks none.
    """

    def __str__(self) -> str:
        return "\n".join(shown(line, _MOST_IN_LINE) for line in self.args)


class SettingsError(QuartetError, ValueError):
    """A command line or configuration that cannot be run; a line for each thing that is wrong."""


class PortError(QuartetError):
    """A host and port that cannot be listened on."""


class StdoutError(QuartetError):
    """Standard output that cannot be written. No OSError, because argparse ignores those."""


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
