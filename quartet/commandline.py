"""The parser of a command line; reference and man pages are made of what it knows."""

import argparse
import csv
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from quartet.channels import CHANNELS
from quartet.distribution import NAME, version
from quartet.predictions import Existing, Target

SHELLS = ("bash", "zsh", "fish")
"""For which there is completion."""


class _ShowVersion(argparse.Action):
    """Looks for the version only when it is wanted, as that takes long."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        sys.stdout.write(f"{NAME} {version()}\n")
        parser.exit()


# Without a terminal, and beside its right edge, as argparse has them.
_USUAL_COLUMNS = 80
_EDGE_COLUMNS = 2


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal. To find that out, argparse itself would import shutil, which brings
    formats of archives, 0.5 MB; and it makes a formatter for each option of a parser.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=_terminal_columns() - _EDGE_COLUMNS)


def _terminal_columns() -> int:
    with suppress(KeyError, ValueError):
        if (given := int(os.environ["COLUMNS"])) > 0:
            return given
    with suppress(ValueError, OSError):  # it is closed, or no terminal
        if sys.__stdout__:
            return os.get_terminal_size(sys.__stdout__.fileno()).columns or _USUAL_COLUMNS
    return _USUAL_COLUMNS


class Parser(argparse.ArgumentParser):
    """A program or one of its commands. An error shows the usage of the command that was given."""

    def __init__(self, *, examples: Sequence[str] = (), **options: Any) -> None:
        options.setdefault("allow_abbrev", False)
        lines = ["examples:", *(f"  {each}" for each in examples)] if examples else []
        super().__init__(
            **options,
            epilog="\n".join(lines),
            formatter_class=_Formatter,
        )
        self.examples = tuple(examples)
        self.summaries: dict[str, str] = {}
        """What each of its commands does, in a phrase."""
        self._commands: argparse._SubParsersAction[Parser] | None = None

    def add_command(self, name: str, help_: str, description: str, *examples: str) -> "Parser":
        """Add a command of the program, or one of a command; `help_` is its line in the list."""
        return self._added(name, help_, description, examples, required=True)

    def add_optional_command(
        self, name: str, help_: str, description: str, *examples: str
    ) -> "Parser":
        """Add a command of a command that also runs without one."""
        return self._added(name, help_, description, examples, required=False)

    def _added(
        self, name: str, help_: str, description: str, examples: Sequence[str], *, required: bool
    ) -> "Parser":
        if self._commands is None:
            self._commands = self.add_subparsers(
                dest="command" if " " not in self.prog else "verb",
                required=required,
                metavar="COMMAND",
                title="commands",
            )
        self.summaries[name] = help_
        return self._commands.add_parser(
            name, help=help_, description=description, examples=examples
        )

    @property
    def needs_command(self) -> bool:
        """Whether it does nothing without one of its commands."""
        return self._commands is not None and self._commands.required

    def add_version(self) -> None:
        """Add --version."""
        self.add_argument(
            "--version", action=_ShowVersion, nargs=0, help="show the version and exit"
        )

    @property
    def commands(self) -> dict[str, "Parser"]:
        """Its commands by name."""
        return dict(self._commands.choices) if self._commands else {}

    @property
    def arguments(self) -> list[argparse.Action]:
        """What it takes, without its commands."""
        return [each for each in self._actions if each is not self._commands]

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse; what is unknown is an error here, with the usage of this command."""
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unknown argument: {' '.join(unknown)}")
        options.misuse = getattr(options, "misuse", self.error)
        return options, unknown


def as_given(command: str, word: str) -> str:
    """The command line of this process, for a shell, where it has a word; else `command`."""
    given = sys.argv[1:]
    if not any(each == word or each.startswith(f"{word}=") for each in given):
        return command
    return shlex.join([command.partition(" ")[0], *given])


def add_config(parser: Parser, what: str) -> None:
    """Add --config, which names the configuration file."""
    parser.add_argument("--config", type=Path, metavar="TOML", help=what)


def add_columns(parser: Parser) -> None:
    """Add --columns and --time, which name columns of a recording."""
    parser.add_argument(
        "--columns",
        type=_columns,
        default=(),
        metavar="A,B,C,D",
        help="columns of the sensors in the recording, one to four, by name or number"
        " (default: the four columns of numbers, if they are clear)",
    )
    parser.add_argument(
        "--time",
        default="",
        metavar="COLUMN",
        help="column of the time, by name or number (default: one that looks like a clock)",
    )


def add_predictions(parser: Parser, name: str) -> None:
    """Add the option for a file of predictions, and what it has; for predictions_of()."""
    parser.add_argument(
        name,
        dest="predictions",
        type=Path,
        metavar="CSV",
        help="write id, time, values and prediction (0 or 1) of each sample to this file; '-' is"
        " standard output",
    )
    parser.add_argument(
        "--bare",
        action="store_true",
        help=f"with {name}: write 'id,prediction' alone, without a header",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--overwrite",
        dest="existing",
        action="store_const",
        const=Existing.OVERWRITE,
        help=f"with {name}: replace the file if it exists",
    )
    existing.add_argument(
        "--append",
        dest="existing",
        action="store_const",
        const=Existing.APPEND,
        help=f"with {name}: add to the file if it exists, behind its last whole line",
    )
    parser.set_defaults(predictions_option=name)


def predictions_of(options: argparse.Namespace) -> Target | None:
    """The file of predictions that was asked for. SettingsError where it cannot be used."""
    if options.predictions is None:
        for option, given in (
            ("--bare", options.bare),
            ("--overwrite", options.existing is Existing.OVERWRITE),
            ("--append", options.existing is Existing.APPEND),
        ):
            if given:
                options.misuse(f"{option} needs {options.predictions_option}")
        return None
    target = Target(options.predictions, options.bare, options.existing or Existing.REFUSE)
    target.check()
    return target


def _columns(text: str) -> tuple[str, ...]:
    """Names in quotes may have commas in them."""
    try:
        names = [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]
    except csv.Error:
        names = []
    if not 1 <= len(names) <= CHANNELS or not all(names):
        raise argparse.ArgumentTypeError(f"expected one to four columns with commas, got {text!r}")
    return tuple(names)


def add_common_commands(program: Parser) -> None:
    """Add the commands that both programs have."""
    config = program.add_command(
        "config",
        "print an example configuration",
        "Print a configuration file in which each key has a comment and its default.",
        f"{program.prog} config --example > {program.prog}.toml",
    )
    config.add_argument(
        "--example", action="store_true", required=True, help="print the example file"
    )
    completion = program.add_command(
        "completion",
        "print a script for tab completion",
        "Print a script by which a shell completes commands and options. It needs shtab.",
        f"{program.prog} completion bash > ~/.local/share/bash-completion/completions/"
        f"{program.prog}",
        f"{program.prog} completion zsh > ~/.zfunc/_{program.prog}",
        f"{program.prog} completion fish > ~/.config/fish/completions/{program.prog}.fish",
    )
    completion.add_argument("shell", choices=SHELLS, help="the shell that reads the script")


def sentence(help_: str) -> str:
    """What a short help says, as a sentence of its own."""
    return f"{help_[:1].upper()}{help_[1:]}."
