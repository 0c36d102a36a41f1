"""What the command line of the notifications takes."""

from pathlib import Path

from broker.beside import add_beside
from quartet.commandline import Parser

CONFIG = Path("/etc/broker/notify.toml")
"""The configuration file that is read where none is named, if it exists."""


def add_notify(program: Parser) -> None:
    """Add `broker notify`."""
    notify = program.add_command(
        "notify",
        "send a message when an alarm begins or an agent is silent",
        "Send a message by webhook and by mail when an alarm begins, changes or ends, when an\n"
        "agent is silent or back, when a certificate expires soon, and when nothing is recorded.\n"
        "It reads the store of a broker on this machine, or the database of several ones. The\n"
        "configuration file names the receivers. docs/notifications.md describes the messages.\n\n"
        "Exit codes: 0 stopped, or --test reached all receivers; 1 failed; 2 wrong use or\n"
        "configuration.",
        "broker notify --config notify.toml",
        "broker notify --config notify.toml --check",
        "broker notify --config notify.toml --test",
    )
    add_beside(notify, CONFIG)
    notify.add_argument(
        "--database",
        metavar="PATH",
        help="file of unsent messages (default: as configured; otherwise notify.db beside the file"
        " of the store)",
    )
    notify.add_argument(
        "--check",
        action="store_true",
        help="check the configuration and the files that it names, then exit",
    )
    notify.add_argument(
        "--test", action="store_true", help="send one message to each receiver, then exit"
    )
