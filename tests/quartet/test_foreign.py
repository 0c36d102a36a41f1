"""What a peer or a file said, as a log and a terminal can take it."""

import json
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.errors import QuartetError, SettingsError, StoreError
from quartet.foreign import MOST, described, in_json, in_lines, shown
from quartet.journal import LineFormatter, PriorityFormatter

many = settings(derandomize=True, deadline=None, max_examples=200)
texts = st.text(st.characters(exclude_categories=()), max_size=300)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("21 °C, Grüße, C:\\pumps", "21 °C, Grüße, C:\\pumps"),
        ("a\nb\r\tc\0", r"a\nb\r\tc\x00"),
        ("\x1b[31mred\x9b0m\x7f", r"\x1b[31mred\x9b0m\x7f"),
        ("\u202eevil\u2066\u200b\ufeff", r"\u202eevil\u2066\u200b\ufeff"),
        ("a\u2028b\u2029c\u00a0d", r"a\u2028b\u2029c\xa0d"),
        ("\udcff\ud800", r"\udcff\ud800"),
        ("\U000e0041", r"\U000e0041"),
        (ValueError("a\nb"), r"a\nb"),
        ("x" * MOST, "x" * MOST),
        ("x" * (MOST + 1), "x" * (MOST - 3) + "..."),
        ("\x1b" * 999, r"\x1b" * 49 + "..."),
    ],
)
def test_what_cannot_be_seen_is_escaped_and_all_else_stays(said: object, text: str) -> None:
    assert shown(said) == text


@many
@given(texts, st.integers(10, 400))
def test_it_is_printable_bounded_and_the_same_when_it_is_shown_again(said: str, most: int) -> None:
    text = shown(said, most)
    assert text.isprintable()
    assert len(text) <= most
    assert shown(text, most) == text


class _MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("a\nb"), r"ValueError: a\nb"),
        (AssertionError(), "AssertionError"),
        (_MuteError(), "_MuteError: (its text cannot be had)"),
    ],
)
def test_an_error_of_a_strangers_code_is_told_by_its_kind(error: Exception, text: str) -> None:
    assert described(error) == text


def test_an_error_without_a_text_is_shown_by_its_kind() -> None:
    assert shown(TimeoutError()) == "TimeoutError"
    assert shown(TimeoutError("late")) == "late"


@many
@given(texts)
def test_a_text_in_lines_has_no_line_that_begins_an_entry(said: str) -> None:
    first, *others = in_lines(said).split("\n")
    assert first.isprintable()
    assert all(line.isprintable() and line.startswith("  ") for line in others)


def test_of_very_many_lines_the_first_and_the_last_are_given() -> None:
    lines = in_lines("\n".join(map(str, range(1000)))).split("\n")
    assert (lines[0], lines[100], lines[-1]) == ("0", "  ... 800 lines", "  999")
    assert len(lines) == 201


@many
@given(st.lists(texts))
def test_a_document_means_the_same(said: list[str]) -> None:
    document = in_json(json.dumps(said, ensure_ascii=False, indent=1))
    assert json.loads(document) == said
    assert all(line.isprintable() for line in document.split("\n"))


# The log, and errors: whoever forgets to show what is foreign does no harm


@pytest.mark.parametrize("formatter", [LineFormatter("%(message)s"), PriorityFormatter()])
def test_an_entry_cannot_pass_for_two(formatter: logging.Formatter) -> None:
    error = ValueError("raised\n<0>forged\x1b[31m")
    raised = ValueError, error, None
    record = logging.LogRecord(
        "a", logging.INFO, "", 1, "%s %d: %s", ("a\n<0>forged", 5, "x" * 5000), raised
    )
    first, *others = formatter.format(record).split("\n")
    assert r"a\n<0>forged 5: xxx" in first
    assert len(first) < 1100
    assert others == ["  ValueError: raised", r"  <0>forged\x1b[31m"]


def test_an_error_of_ours_keeps_its_lines_in_an_entry() -> None:
    error = SettingsError("a.toml: one\nforged", "a.toml: two")
    record = logging.LogRecord("a", logging.ERROR, "", 1, "%s; kept", (error,), None)
    assert LineFormatter().format(record) == "a.toml: one\\nforged\n  a.toml: two; kept"


@pytest.mark.parametrize("kind", [QuartetError, SettingsError, StoreError])
def test_an_errors_text_is_printable_whatever_is_put_in(kind: type[QuartetError]) -> None:
    assert str(kind("a\x1b[2J\nb" + "x" * 10_000)) == r"a\x1b[2J\nb" + "x" * 1986 + "..."
