"""What a stream's metadata says beyond the frozen messages. A plain peer sends none of it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from wire import MAX_ID

REFUSED_ID = "refused-id"
"""Trailing metadata: the id of the sample that ended the stream."""

SUPERSEDED_BY = "superseded-by"
"""Trailing metadata: the session id of the newer stream that ended this one."""

SENSORS = "sensors-bin"
"""Metadata: the labels of the sensors, for wire.sensors."""

AGENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
AGENT_ID_IN_WORDS = "a name of 1 to 64 characters (letters, digits, . _ -)"
SESSION_ID = re.compile(r"[0-9a-fA-F]{32}")

_MAX_NS = 2**63 - 1
_DIGITS = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class StreamHeader:
    """One evenly spaced run of samples of one session. Times are Unix nanoseconds."""

    agent_id: str
    session_id: str
    first_id: int
    first_sampled_at_ns: int
    sample_period_ns: int
    """The spacing; 0 when the samples are not paced."""
    is_rehearsal: bool = False
    """A simulation, whose line nobody needs later."""
    sensors: bytes = b""
    """The labels of the sensors, for wire.sensors, not looked at; empty: nobody tells."""

    def sampled_at_ns(self, id_: int) -> int:
        """When the sample with this id was taken, for a paced run."""
        return self.first_sampled_at_ns + (id_ - self.first_id) * self.sample_period_ns

    def to_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """The header as a call's metadata."""
        return (
            ("agent-id", self.agent_id),
            ("session-id", self.session_id),
            ("first-id", str(self.first_id)),
            ("first-sampled-at-ns", str(self.first_sampled_at_ns)),
            ("sample-period-ns", str(self.sample_period_ns)),
            *(((_REHEARSAL, "1"),) if self.is_rehearsal else ()),
            *(((SENSORS, self.sensors),) if self.sensors else ()),
        )

    @classmethod
    def from_metadata(cls, metadata: Iterable[tuple[str, str | bytes]]) -> "StreamHeader | None":
        """Read a call's metadata; None for a plain peer, which sends none of these keys.

        Raises ValueError, naming the key, for a part that is missing or malformed.
        """
        pairs = dict(metadata)
        given = {key: pairs[key] for key in _KEYS if key in pairs}
        if not given:
            return None
        if missing := [key for key in _KEYS if key not in given]:
            raise ValueError(f"metadata {', '.join(missing)} missing: send all of it or none")
        return cls(
            _matching(given, _AGENT_ID, AGENT_ID, _AGENT_ID_FORM),
            _matching(given, "session-id", SESSION_ID, "32 hex digits"),
            _whole(given, "first-id", MAX_ID),
            _whole(given, "first-sampled-at-ns", _MAX_NS),
            _whole(given, "sample-period-ns", _MAX_NS),
            _REHEARSAL in pairs and bool(_matching(pairs, _REHEARSAL, _SET, "1")),
            _bytes(pairs.get(SENSORS, b"")),
        )


def agent_id_of(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Who asks. ValueError where the metadata does not say it, or not in its form."""
    given = {key: value for key, value in metadata if key == _AGENT_ID}
    if not given:
        raise ValueError(f"metadata {_AGENT_ID} missing")
    return _matching(given, _AGENT_ID, AGENT_ID, _AGENT_ID_FORM)


_AGENT_ID = "agent-id"
_AGENT_ID_FORM = "1 to 64 of A-Z a-z 0-9 . _ -"
_KEYS = (_AGENT_ID, "session-id", "first-id", "first-sampled-at-ns", "sample-period-ns")
_REHEARSAL = "rehearsal"
_SET = re.compile("1")


def _matching(given: dict[str, str | bytes], key: str, form: re.Pattern[str], expected: str) -> str:
    value = given[key]
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ValueError(f"metadata {key}: expected {expected}, got {value!r}")
    return value


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode(errors="replace")


def _whole(given: dict[str, str | bytes], key: str, most: int) -> int:
    text = _matching(given, key, _DIGITS, f"a whole number from 0 to {most}")
    if int(text) > most:
        raise ValueError(f"metadata {key}: expected a whole number from 0 to {most}, got {text}")
    return int(text)
