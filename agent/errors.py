"""Errors of the agent. Each is a QuartetError: its text is a message to a person.

AgentError
├── SourceError    the hardware or the file gives no more samples
│   ├── ChipInUseError   by another process
│   └── CadenceError   it cannot be read so fast; also a SettingsError
├── NameInUseError   another agent of this computer streams under it
├── LedgerError    what is to be compared with is no ledger
├── StatusError    a running agent cannot be asked
├── UnreachedError   a broker is not reached (agent/reason.py)
└── SinkError      predictions cannot be shown or written where they were asked for
"""

from quartet.errors import QuartetError, SettingsError


class AgentError(QuartetError):
    """The agent cannot do its job."""


class SourceError(AgentError):
    """A source that cannot go on."""


class ChipInUseError(SourceError):
    """An ADS1115 that another process reads."""


class CadenceError(SourceError, SettingsError):
    """A rate that the hardware cannot keep."""


class ExcerptError(SourceError, SettingsError):
    """A part of a recording, or a pace, that the recording does not have."""


class SinkError(AgentError, OSError):
    """A sink that cannot be opened or written."""


class NameInUseError(AgentError):
    """A name at a broker that another agent of this computer has."""


class LedgerError(AgentError):
    """A file that is not the ledger of a broker."""


class StatusError(AgentError):
    """An agent that runs, or may run, and does not say how it is."""
