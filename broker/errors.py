"""Errors of the broker. Each is a QuartetError: its text is a message to a person.

BrokerError
├── PredictorError         a black box that cannot be loaded; nothing was started
├── EvaluationError        a black box raises offline, or what it said cannot be written
├── ListenError            the address cannot be listened on
├── CommandError           a line cannot be told what it should do
├── PkiError               the certificate authority cannot do what it was asked for
├── AccessError            a stream that must not be
│   ├── DeniedError        of one who may not speak so
│   └── CrowdedError       beyond a limit
├── RecordError            the recorder could not keep or find what a stream needs
├── RefusalError           ends one stream; says which sample and why
│   ├── OutOfOrderError    an id that does not follow
│   ├── ExpiredError       a resent id whose answer is no longer known
│   └── RaisedError        the black box raised
└── ObstacleError          no answer yet; the stream fetches what is missing, and goes on
    ├── UnreadyError       the black box must be restored first
    └── ForgottenError     an answer that is on record, or nowhere
"""

from quartet.errors import QuartetError, SettingsError


class BrokerError(QuartetError):
    """The broker cannot do its job."""


class PredictorError(BrokerError, SettingsError):
    """A black box that cannot be loaded."""


class EvaluationError(BrokerError):
    """An evaluation that cannot be ended."""


class ListenError(BrokerError, OSError):
    """An address that cannot be listened on."""


class CommandError(BrokerError):
    """A command to a line that cannot be given."""


class PkiError(BrokerError):
    """What the certificate authority cannot do."""


class AccessError(BrokerError):
    """A stream that must not be."""


class DeniedError(AccessError):
    """The peer may not stream, or not under this name."""


class CrowdedError(AccessError):
    """One stream more than there may be."""


class RecordError(BrokerError, OSError):
    """Something could not be recorded, or read from the records; the line goes back to them."""


class RefusalError(BrokerError):
    """A sample that ends its stream."""

    def __init__(self, sample_id: int, reason: str) -> None:
        super().__init__(f"sample {sample_id}: {reason}")
        self.sample_id = sample_id


class OutOfOrderError(RefusalError):
    """An id that is not the announced first, or does not rise."""


class ExpiredError(RefusalError):
    """A resent id whose answer is no longer known."""

    def __init__(self, sample_id: int) -> None:
        super().__init__(sample_id, "is not above the last id, and has no answer on record")


class RaisedError(RefusalError):
    """The black box raised; its instance is thrown away. Its cause is what was raised."""

    def __init__(self, sample_id: int, error: BaseException) -> None:
        super().__init__(sample_id, f"the black box raised {type(error).__name__}: {error}")
        self.__cause__ = error


class ObstacleError(BrokerError):
    """What is between a sample and its answer; never leaves the stream."""

    def __init__(self, sample_id: int) -> None:
        super().__init__(f"sample {sample_id}")
        self.sample_id = sample_id


class UnreadyError(ObstacleError):
    """The black box must be restored from its records before this sample."""


class ForgottenError(ObstacleError):
    """A resent id whose answer is not in memory."""
