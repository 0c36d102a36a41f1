"""The parser of a command line; reference and man pages are made of what it knows."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from quartet.distribution import version

SHELLS = ("bash", "zsh", "fish")
"""For which there is completion."""


class Parser(argparse.ArgumentParser):
    """A program or one of its commands. An error shows the usage of the command that was given."""

    def __init__(self, *, examples: Sequence[str] = (), **options: Any) -> None:
        options.setdefault("allow_abbrev", False)
        lines = ["examples:", *(f"  {each}" for each in examples)] if examples else []
        super().__init__(
            **options,
            epilog="\n".join(lines),
            formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=28),
        )
        self.examples = tuple(examples)
        self.summaries: dict[str, str] = {}
        """What each of its commands does, in a phrase."""
        self._commands: argparse._SubParsersAction[Parser] | None = None

    def add_command(self, name: str, help_: str, description: str, *examples: str) -> "Parser":
        """Add a command of the program, or one of a command; `help_` is its line in the list."""
        if self._commands is None:
            self._commands = self.add_subparsers(
                dest="command" if " " not in self.prog else "verb",
                required=True,
                metavar="COMMAND",
                title="commands",
            )
        self.summaries[name] = help_
        return self._commands.add_parser(
            name, help=help_, description=description, examples=examples
        )

    def add_version(self) -> None:
        """Add --version."""
        text = f"quartet {version()}"
        self.add_argument(
            "--version", action="version", version=text, help="show the version and exit"
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


def add_config(parser: Parser, what: str) -> None:
    """Add --config, which names the configuration file."""
    parser.add_argument("--config", type=Path, metavar="TOML", help=what)


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
