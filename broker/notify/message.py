"""What is sent: one event, or many as a summary. As it is kept in the file, too."""

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

SUMMARY = "summary"
"""The kind of a message that tells several events."""

TEST = "test"
"""The kind of what `--test` sends."""


class Message(msgspec.Struct, frozen=True):
    """One message. Its text has nothing in it that a terminal or a header obeys."""

    id: str
    """The same at each try, and after a restart: a receiver may get it twice."""
    kind: str
    """A kind of event, or SUMMARY, or TEST."""
    at_ns: int
    """When the newest of it was known, in Unix ns."""
    subject: str
    text: str
    events: list[dict[str, Any]]
    """For programs: what happened, some of it where it is very much. Text is as it came."""
    counts: dict[str, int]
    """By kind, how many events it tells."""


def id_of(keys: Iterable[str]) -> str:
    """The id of a message of these events."""
    return hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()[:32]
