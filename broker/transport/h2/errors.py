"""What a peer does against HTTP/2, or beyond what the broker bears."""

from h2.errors import ErrorCodes


class ViolationError(Exception):
    """Ends the connection, with this code of HTTP/2. Its text is for the peer and the log."""

    def __init__(self, code: ErrorCodes, text: str) -> None:
        super().__init__(text)
        self.code = code
