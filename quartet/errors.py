"""Errors whose text is a message to a person: what failed, on what, and what to do next.

QuartetError
├── SettingsError   the command line or a configuration file; nothing was started
├── TableError      a CSV of samples, named by file, line and column
├── AgentError      see agent.errors
└── BrokerError     see broker.errors
"""


class QuartetError(Exception):
    """Something that a person can cause, and mend; shown without a traceback."""


class SettingsError(QuartetError, ValueError):
    """A command line or configuration that cannot be run."""


class TableError(QuartetError, ValueError):
    """A CSV that is not a table of samples."""
