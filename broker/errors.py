"""Errors of the broker. Each is a QuartetError: its text is a message to a person.

BrokerError
├── PredictorError         a black box that cannot be loaded; nothing was started
├── ListenError            the address cannot be listened on
└── RefusalError           ends one stream; says which sample and why
    ├── OutOfOrderError    an id that does not follow
    ├── ExpiredError       a resent id whose answer is no longer known
    └── RaisedError        the black box raised
"""

from quartet.errors import QuartetError, SettingsError


class BrokerError(QuartetError):
    """The broker cannot do its job."""


class PredictorError(BrokerError, SettingsError):
    """A black box that cannot be loaded."""


class ListenError(BrokerError, OSError):
    """An address that cannot be listened on."""


class RefusalError(BrokerError):
    """A sample that ends its stream."""

    def __init__(self, sample_id: int, reason: str) -> None:
        super().__init__(f"sample {sample_id}: {reason}")
        self.sample_id = sample_id


class OutOfOrderError(RefusalError):
    """An id that is not the announced first, or does not rise."""


class ExpiredError(RefusalError):
    """A resent id whose answer is no longer known."""


class RaisedError(RefusalError):
    """The black box raised; its instance is thrown away."""
