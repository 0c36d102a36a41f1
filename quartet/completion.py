"""Scripts for tab completion, made by shtab when a person asks for one."""

from pathlib import Path
from typing import Any

from quartet.commandline import Parser
from quartet.distribution import to_install
from quartet.errors import QuartetError

_FILES = ("CSV", "PATH")
"""Metavars of arguments that are files, and text to the program."""


def script(parser: Parser, shell: str) -> str:
    """The script that makes a shell complete a command line; QuartetError without shtab."""
    try:
        import shtab  # noqa: PLC0415 - optional, and not for a device
    except ImportError as error:
        raise QuartetError(f"shtab is missing: {to_install('completion')}") from error
    _mark_files(parser, shtab.FILE)
    text: str = shtab.complete(parser, shell)
    return text


def _mark_files(parser: Parser, files: Any) -> None:
    for argument in parser.arguments:
        if argument.type is Path or argument.metavar in _FILES:
            argument.complete = files  # type: ignore[attr-defined]  # shtab looks for it there
    for command in parser.commands.values():
        _mark_files(command, files)
