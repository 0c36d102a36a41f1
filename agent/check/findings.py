"""What the doctor finds: one line each."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a check came out."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was seen, and the one command (or act) that mends it."""

    check: str
    outcome: Outcome
    detail: str
    remedy: str = ""


Findings = Iterator[Finding]


def passed(check: str, detail: str, remedy: str = "") -> Finding:
    """All is well; a remedy tells what could be better."""
    return Finding(check, Outcome.PASSED, detail, remedy)


def failed(check: str, detail: str, remedy: str) -> Finding:
    """The agent will not do its job like this; no remedy, where the detail has it."""
    return Finding(check, Outcome.FAILED, detail, remedy)


def skipped(check: str, detail: str, remedy: str = "") -> Finding:
    """There is nothing to check, or it cannot be checked now."""
    return Finding(check, Outcome.SKIPPED, detail, remedy)
