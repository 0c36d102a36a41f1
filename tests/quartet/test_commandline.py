"""The help of a command is as wide as argparse would have it."""

import argparse
import os
import sys
import termios
from functools import partial

import pytest

from quartet.commandline import Parser


def both() -> tuple[str, str]:
    """The help of a parser, and the same as argparse's own formatter writes it."""
    parser = Parser(prog="press", description="Press.", examples=["press --hard"])
    parser.add_argument("--hard", metavar="NEWTON", help="press with this force, " + "or less " * 9)
    parser.add_command("wait", "wait for the press " * 5, "Wait.")
    ours = parser.format_help()
    parser.formatter_class = partial(argparse.RawDescriptionHelpFormatter, max_help_position=28)  # type: ignore[assignment]
    return ours, parser.format_help()


@pytest.mark.parametrize("columns", ["30", "100", "0", "-1", "wide", ""])
def test_help_is_as_wide_as_the_environment_says(
    columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    ours, theirs = both()
    assert ours == theirs


@pytest.mark.parametrize("columns", [0, 50, 120])
def test_help_is_as_wide_as_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    controller, terminal = os.openpty()
    try:
        termios.tcsetwinsize(terminal, (24, columns))
        with os.fdopen(terminal, "w") as out:
            monkeypatch.setattr(sys, "__stdout__", out)
            ours, theirs = both()
    finally:
        os.close(controller)
    assert ours == theirs


def test_without_standard_output_help_has_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(sys, "__stdout__", None)
    ours, theirs = both()
    assert ours == theirs
