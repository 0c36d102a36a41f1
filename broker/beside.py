"""What the programs beside a broker share on their command lines: they read its records."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from quartet.commandline import Parser, add_config


def add_beside(parser: Parser, config: Path) -> None:
    """Add `--config`, whose default is this file, and `--store`."""
    add_config(parser, f"configuration file (default: {config}, if it exists)")
    parser.add_argument(
        "--store",
        metavar="PATH|URL",
        help="file or PostgreSQL database of samples and predictions (default: as configured)",
    )


def misuse(options: argparse.Namespace, text: str) -> NoReturn:
    """Say what is wrong with a command, and how it is used. Exits with 2."""
    say: Callable[[str], NoReturn] = options.misuse
    say(text)


def no_store(options: argparse.Namespace, key: str) -> NoReturn:
    """Say that nobody has named the store; `key` of the configuration would. Exits with 2."""
    misuse(
        options,
        f"no store: give --store PATH, or --config with {key}. A broker without a store keeps its"
        " records in memory, where no command can read them: start it with 'broker run --store"
        " PATH'",
    )
