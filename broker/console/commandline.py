"""What the command line of the console takes."""

import argparse
from pathlib import Path

from broker.beside import add_beside
from quartet.commandline import Parser

CONFIG = Path("/etc/broker/console.toml")
"""The configuration file that is read where none is named, if it exists."""

ROLES = ("viewer", "operator")
"""What a user may do: look, or also acknowledge, note and reset."""


def add_console(program: Parser) -> None:
    """Add `broker console` and the commands for its users."""
    console = program.add_command(
        "console",
        "show all machines on pages in a browser",
        "Serve pages that show how each machine is, since when and why, with its history. The\n"
        "console reads the store of a broker on this machine, or the database of several ones.\n\n"
        "Other machines reach it with [tls], with at least one user, and by a name in\n"
        "[console] hosts. Options on the command line override the configuration file.\n\n"
        "Exit codes: 0 stopped; 1 failed; 2 wrong use or configuration.",
        "broker console --store broker.db",
        "broker console user add shift-a --role operator",
        "broker console --config console.toml --check",
    )
    add_beside(console, CONFIG)
    console.add_argument(
        "--listen", metavar="HOST:PORT", help="listen on this address (default: 127.0.0.1:8080)"
    )
    _add_database(console, None)
    console.add_argument(
        "--insecure",
        action="store_true",
        help="allow connections from other machines without TLS, or without users",
    )
    console.add_argument(
        "--check",
        action="store_true",
        help="check the configuration, the files that it names and the predictor, then exit",
    )
    _add_user(console)


def _add_user(console: Parser) -> None:
    user = console.add_optional_command(
        "user",
        "add, remove and list the users of the console",
        "Look after the users who may sign in. It works beside a running console.",
        "broker console user add shift-a --role operator",
        "broker console user list",
    )
    add = user.add_command(
        "add",
        "add a user, or give one a new password or role",
        "Add a user, or give one a new password or role. The command asks for the password on the\n"
        "terminal. Whoever is signed in under this name must sign in again.",
    )
    add.add_argument("name", metavar="NAME", help="name of the user")
    add.add_argument(
        "--role",
        choices=ROLES,
        default=ROLES[0],
        help="viewer: may look (default); operator: may also acknowledge, note and reset",
    )
    add.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the password from the first line of standard input",
    )
    remove = user.add_command(
        "remove",
        "remove a user",
        "Remove a user. Whoever is signed in under this name is signed out within seconds.",
    )
    remove.add_argument("name", metavar="NAME", help="name of the user")
    listed = user.add_command(
        "list",
        "list all users",
        "List all users, what each may do, and how many browsers are signed in.",
    )
    revoke = user.add_command(
        "revoke",
        "sign a user out everywhere",
        "End all sessions of a user within seconds. The password stays valid.",
    )
    revoke.add_argument("name", metavar="NAME", help="name of the user")
    for command in (add, remove, listed, revoke):
        command.add_argument(
            "--config",
            type=Path,
            metavar="TOML",
            default=argparse.SUPPRESS,
            help=f"configuration file (default: {CONFIG}, if it exists)",
        )
        command.add_argument(
            "--store",
            metavar="PATH",
            default=argparse.SUPPRESS,
            help="file of the broker's store, beside which console.db is (default: as configured)",
        )
        _add_database(command, argparse.SUPPRESS)


def _add_database(parser: Parser, default: str | None) -> None:
    parser.add_argument(
        "--database",
        metavar="PATH",
        default=default,
        help="file of history, notes and users (default: as configured; otherwise console.db"
        " beside the file of the store)",
    )
