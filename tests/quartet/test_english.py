"""Docs and messages are in plain English; CONTRIBUTING.md has the rules."""

import pytest
from support.english import Message, Text, messages, prose

from quartet.plural import counted


def test_pages_are_in_plain_english() -> None:
    assert [slip for text in prose() for slip in text.slips()] == []


def test_messages_are_in_plain_english() -> None:
    assert [slip for message in messages() for slip in message.slips()] == []


@pytest.mark.parametrize(
    "bad",
    [
        "The list is read anew.",
        "What waits is sent later.",
        "A failure is said once.",
        "The broker goes on.",
        "Use a cable, for it is short.",
        "This is no file.",
        "The black box is slow.",
        " ".join(["word"] * 36),
    ],
)
def test_the_worst_patterns_are_found(bad: str) -> None:
    assert len(list(Text("page.md:1", bad).slips())) == 1


def test_commands_and_quotations_are_not_judged() -> None:
    assert not list(Text("page.md:1", "Run `broker rebase AGENT` or 'broker rebase'.").slips())


@pytest.mark.parametrize("bad", ["%d samples wait", "{} streams are open"])
def test_a_number_that_cannot_agree_is_found(bad: str) -> None:
    assert len(list(Message("some.py:1", bad).slips())) == 1


def test_a_number_agrees_with_its_noun_and_verb() -> None:
    assert counted(1, "sample", "waits", "wait") == "1 sample waits"
    assert counted(0, "sample", "waits", "wait") == "0 samples wait"
    assert counted(2, "sample") == "2 samples"
