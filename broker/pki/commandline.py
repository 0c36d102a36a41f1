"""What the command line of the certificate authority takes."""

from pathlib import Path

from quartet.commandline import Parser, sentence


def add_pki(program: Parser) -> None:
    """Add `broker pki` and its verbs."""
    pki = program.add_command(
        "pki",
        "make and revoke certificates",
        "Run a small certificate authority for the broker and its agents.",
        "broker pki init --host broker.plant.lan",
        "broker pki issue press-4",
        "broker pki list",
    )

    def verb(name: str, help_: str, *examples: str) -> Parser:
        command = pki.add_command(name, help_, sentence(help_), *examples)
        command.add_argument(
            "--dir",
            type=Path,
            default=Path("pki"),
            metavar="DIR",
            help="directory of the authority (default: ./pki)",
        )
        return command

    init = verb("init", "create the authority and the broker's certificate")
    issue = verb(
        "issue",
        "create a key and a certificate for an agent, or new ones for the broker",
        "broker pki issue press-4",
        "broker pki issue --host broker.plant.lan",
    )
    whose = issue.add_mutually_exclusive_group(required=True)
    whose.add_argument("agent", nargs="?", metavar="AGENT", help="name of the agent")
    for command, default in ((init, " (default: the name of this machine)"), (whose, "")):
        command.add_argument(
            "--host",
            dest="hosts",
            action="append",
            metavar="HOST",
            help="host name or address at which agents reach the broker; may be repeated" + default,
        )
    renew = verb("renew", "sign the same key again before its certificate expires")
    whose = renew.add_mutually_exclusive_group(required=True)
    whose.add_argument("agent", nargs="?", metavar="AGENT", help="name of the agent")
    whose.add_argument("--broker", action="store_true", help="renew the broker's certificate")
    sign = verb("sign", "sign the key of a device that keeps its key to itself")
    sign.add_argument("request", type=Path, metavar="CSR", help="certificate request in PEM")
    verb("list", "list all certificates")
    revoke = verb("revoke", "make the broker refuse a certificate")
    revoke.add_argument(
        "which",
        metavar="AGENT|SERIAL",
        help="name of an agent, whose certificates are all revoked, or one serial number",
    )
