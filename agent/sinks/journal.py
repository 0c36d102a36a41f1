"""One log entry a prediction, with fields for journald."""

import contextlib
import functools
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from agent.model import Prediction
from quartet.journal import SYSLOG_PRIORITY

log = logging.getLogger("agent.predictions")

_LEVELS = (logging.INFO, logging.WARNING)


class PredictionLog:
    """Logs predictions: info for False, warning for True. All, or only the changes.

    With `send` they go to journald past the logging of Python, with `print_line` to stderr, unless
    this logger has a handler of its own.
    """

    def __init__(
        self,
        agent_id: str,
        *,
        changes_only: bool,
        send: Callable[..., None] | None = None,
        print_line: Callable[[int, str], None] | None = None,
    ) -> None:
        self._agent_id = agent_id
        self._changes_only = changes_only
        self._send = send
        self._print_line = None if log.handlers else print_line
        self._same = "SYSLOG_IDENTIFIER=agent", f"LOGGER={log.name}", f"AGENT_ID={agent_id}"
        self._priorities = [f"PRIORITY={SYSLOG_PRIORITY[level]}" for level in _LEVELS]
        self._last: bool | None = None
        log.setLevel(logging.INFO)  # whatever the level of the other loggers

    def emit(self, prediction: Prediction) -> None:
        """Log one prediction, unless only changes are asked for and it is none."""
        value = prediction.value
        if self._changes_only and value == self._last:
            return
        self._last = value
        sample = prediction.sample
        first, second, third, fourth = sample.values
        shown = f"{first:.5g}  {second:.5g}  {third:.5g}  {fourth:.5g}"
        message = f"sample {sample.id}: {value}  {shown}"
        if self._print_line:
            # What stderr does not take now, it may have in its buffer: once is enough.
            with contextlib.suppress(OSError, ValueError):
                self._print_line(_LEVELS[value], message)
            return
        fields = _fields(prediction)
        if self._send:
            ready = [f"{name}={text}" for name, text in fields]
            # What journald does not take goes the way of all such entries.
            with contextlib.suppress(OSError):
                self._send(f"MESSAGE={message}", self._priorities[value], *self._same, *ready)
                return
        journal_fields = {"AGENT_ID": self._agent_id, **dict(fields)}
        log.log(_LEVELS[value], message, extra={"journal_fields": journal_fields})

    def close(self) -> None:
        """Nothing is held back."""

    def __str__(self) -> str:
        return "the log of predictions"


def _fields(prediction: Prediction) -> list[tuple[str, str]]:
    sample = prediction.sample
    first, second, third, fourth = sample.values
    seconds, ns = divmod(sample.sampled_at_ns, 10**9)
    return [
        ("SAMPLE_ID", str(sample.id)),
        ("SESSION_ID", sample.session.id),
        ("PREDICTION", "1" if prediction.value else "0"),
        ("SENSOR1", f"{first:.9g}"),
        ("SENSOR2", f"{second:.9g}"),
        ("SENSOR3", f"{third:.9g}"),
        ("SENSOR4", f"{fourth:.9g}"),
        ("SAMPLED_AT", f"{_second(seconds)}.{ns // 1000:06}+00:00"),
        ("ROUND_TRIP_US", str(prediction.round_trip_ns // 1000)),
    ]


@functools.lru_cache(1)
def _second(seconds: int) -> str:
    """A second of Unix time, as RFC 3339 has it; samples of one second follow each other."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
