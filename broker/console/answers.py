"""What the console answers: JSON, with its numbers as a browser can take them, and errors."""

import math
from collections.abc import Mapping

import msgspec
from starlette.responses import Response

CLOSE = "close"
"""In the state of a request: what closes its connection, behind what was sent."""

_ENCODER = msgspec.json.Encoder()

# JSON has no infinity. JSON.parse() of a browser gives it for a number that is too large.
_INFINITY = msgspec.Raw(b"1e999")
_MINUS_INFINITY = msgspec.Raw(b"-1e999")


def encoded(tree: object) -> bytes:
    """JSON of dicts, lists and plain values. NaN becomes null, an infinity 1e999."""
    return _ENCODER.encode(_finite(tree))


class Json(Response):
    """An answer of data, which nobody may keep."""

    media_type = "application/json"

    def __init__(
        self, tree: object, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(encoded(tree), status, {"Cache-Control": "no-store", **(headers or {})})


class RefusedError(Exception):
    """A request that cannot be answered; its text says why, and what to do."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = dict(headers or {})

    def answer(self) -> Response:
        """As a page's script takes it."""
        return Json({"error": str(self)}, self.status, self.headers)


def _finite(value: object) -> object:
    kind = type(value)
    if kind is float:
        if math.isfinite(value):  # type: ignore[arg-type]
            return value
        if math.isnan(value):  # type: ignore[arg-type]
            return None
        return _INFINITY if value > 0 else _MINUS_INFINITY  # type: ignore[operator]
    if kind is dict:
        return {key: _finite(each) for key, each in value.items()}  # type: ignore[attr-defined]
    if kind is list or kind is tuple:
        return [_finite(each) for each in value]  # type: ignore[attr-defined]
    return value
