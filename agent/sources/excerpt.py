"""Which rows of a recording are replayed, and when each of them is due."""

import logging
import math
import re
from collections.abc import Iterator

from agent.config.source import ReplaySettings
from agent.errors import ExcerptError
from quartet.duration import lasted
from quartet.recording import Recording, Row
from quartet.recording.times import has_date, moment

log = logging.getLogger(__name__)

_DAY_NS = 86_400 * 10**9

# So long a person does not wait without a word, and so long nobody waits: a clock was set.
_LONG_NS = 60 * 10**9
_MOST_NS = _DAY_NS


class Excerpt:
    """The rows of a recording from one moment to another. One thread.

    ExcerptError where the recording has no times, or no such rows.
    """

    def __init__(self, recording: Recording, settings: ReplaySettings, *, is_paced: bool) -> None:
        self._recording = recording
        self._since, self._until = settings.since, settings.until
        self._is_whole = not (settings.since or settings.until)
        for text in filter(None, (settings.since, settings.until)):
            _bound(text, 0)
        if not recording.binding.time and (is_paced or not self._is_whole):
            raise ExcerptError(
                f"{recording.path}: has no column of times: name it with --time, or leave out"
                " --rate recorded, --from and --to"
            )

    def __iter__(self) -> Iterator[Row]:
        if self._is_whole:
            yield from self._recording
            return
        bounds: tuple[float, float] | None = None
        found = False
        for row in self._recording:
            if row.at_ns is None:
                continue
            if bounds is None:
                bounds = (
                    _bound(self._since, row.at_ns) if self._since else -math.inf,
                    _bound(self._until, row.at_ns) if self._until else math.inf,
                )
            if bounds[0] <= row.at_ns < bounds[1]:
                found = True
                yield row
        if not found:
            raise ExcerptError(f"{self._recording.path}: has no row from --from to --to")


class Pace:
    """When rows are due: at the intervals of their times, shortened by a speed."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._at_ns: int | None = None
        self._due_ns = 0.0

    def due_ns(self, row: Row) -> int:
        """When the next row is due, in ns after the first.

        A clock that falls back, that says nothing, or that jumps by days costs no time.
        """
        if row.at_ns is not None:
            if self._at_ns is not None:
                step_ns = max(0, row.at_ns - self._at_ns)
                wait_ns = step_ns / self._speed if step_ns < _MOST_NS else 0.0
                self._due_ns += wait_ns
                if step_ns >= _MOST_NS:
                    log.warning(
                        "line %d is %s behind the row before: it is not waited for",
                        *(row.line, lasted(step_ns / 1e9)),
                    )
                elif wait_ns >= _LONG_NS:
                    log.info("line %d is due in %s", row.line, lasted(wait_ns / 1e9))
            self._at_ns = row.at_ns
        return round(self._due_ns)


def _bound(text: str, first_ns: int) -> float:
    """The moment that a person wrote: a date and time, a time of the first day, or seconds."""
    try:
        after_s = float(text)
    except ValueError:
        return _moment_ns(text, first_ns)
    if not math.isfinite(after_s):
        raise ExcerptError(f"--from and --to: expected a time, got {text!r}")
    return first_ns + after_s * 1e9


def _moment_ns(text: str, first_ns: int) -> int:
    """Without a date, of the day of the first row. Only dates that all read alike are taken."""
    at_ns = None
    if not has_date(text):
        at_ns = moment(text)
        at_ns = None if at_ns is None else first_ns // _DAY_NS * _DAY_NS + at_ns
    elif re.match(r"\d{4}-\d{2}-\d{2}", text):
        at_ns = moment(text)
    if at_ns is None:
        raise ExcerptError(
            "--from and --to: expected a date and time such as 2026-11-24T17:30:00, a time such as"
            f" 17:30, or seconds from the first row, got {text!r}"
        )
    return at_ns
