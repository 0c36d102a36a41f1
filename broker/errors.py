"""Errors of the broker. Each is a QuartetError: its text is a message to a person.

BrokerError
├── PredictorError         a black box that cannot be loaded; nothing was started
├── EvaluationError        a black box raises offline, or what it said cannot be written
├── OutputError            a file of an export or an incident that cannot be written
├── IncidentError          a file that is no whole incident file
├── ListenError            the address cannot be listened on
├── CommandError           a line cannot be told what it should do
├── PkiError               the certificate authority cannot do what it was asked for
├── AccessError            a stream that must not be
│   ├── DeniedError        of one who may not speak so
│   └── CrowdedError       beyond a limit
├── LostError              the connection of a call broke
└── RecordError            the recorder could not keep or find what a stream needs
    ├── TakenError         another owner has claimed the line
    └── UncertainError     nobody knows whether something was recorded
"""

from broker.model import Code
from quartet.errors import QuartetError, SettingsError


class BrokerError(QuartetError):
    """The broker cannot do its job."""


class PredictorError(BrokerError, SettingsError):
    """A black box that cannot be loaded."""


class EvaluationError(BrokerError):
    """An evaluation that cannot be ended."""


class OutputError(BrokerError, OSError):
    """A file that cannot be written."""


class IncidentError(BrokerError, ValueError):
    """A file that is not an incident file as this version reads them."""


class ListenError(BrokerError, OSError):
    """An address that cannot be listened on."""


class CommandError(BrokerError):
    """A command to a line that cannot be given."""


class PkiError(BrokerError):
    """What the certificate authority cannot do."""


class AccessError(BrokerError):
    """A stream that must not be."""

    code = Code.PERMISSION_DENIED
    """How its call ends."""


class DeniedError(AccessError):
    """The peer may not stream, or not under this name."""


class CrowdedError(AccessError):
    """One stream more than there may be."""

    code = Code.RESOURCE_EXHAUSTED


class LostError(BrokerError, ConnectionError):
    """The connection of a call broke: its peer hears nothing more, and there is nothing to mend."""


class RecordError(BrokerError, OSError):
    """Something could not be recorded, or read from the records; the line goes back to them."""

    def again(self) -> "RecordError":
        """The same, to be raised once more."""
        return RecordError(str(self))


class TakenError(RecordError):
    """Another owner has claimed the line, for a stream of this session."""

    def __init__(self, session_id: str) -> None:
        super().__init__("another broker has taken the line over")
        self.session_id = session_id

    def again(self) -> "TakenError":
        """The same, to be raised once more."""
        return TakenError(self.session_id)


class UncertainError(RecordError):
    """Something was written, or not: its answer was lost, or it is not yet safe."""
