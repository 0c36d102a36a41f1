"""Times that a person gives on a command line."""

from datetime import datetime

from broker.records import MAX_NS


def moment(text: str) -> int:
    """A date, or a date and a time, in Unix ns: local time, unless a zone is given. ValueError."""
    when = datetime.fromisoformat(text)
    seconds = int(when.replace(microsecond=0).timestamp())
    return in_store(seconds * 10**9 + when.microsecond * 1000)


def in_store(at_ns: int) -> int:
    """The nearest time that a store holds, in Unix ns: no sample is of the year 9999."""
    return max(-MAX_NS, min(at_ns, MAX_NS))
