"""What `broker pki` does and says."""

import argparse
import platform
from collections.abc import Sequence
from pathlib import Path

from broker.pki.authority import Authority
from quartet.columns import aligned

# By these the broker asks itself how it is.
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def run(options: argparse.Namespace) -> None:
    """Do what the command line asks for; PkiError where that is not possible."""
    directory: Path = options.dir
    if options.verb == "init":
        _init(directory, options.hosts or [platform.node()])
        return
    authority = Authority(directory)
    match options.verb:
        case "issue" if options.hosts:
            _tell(authority.issue_broker(_with_loopback(options.hosts)))
        case "issue":
            path = authority.issue_agent(options.agent)
            _tell(path)
            print(f"copy both, and {directory / 'ca.pem'}, to the device, and delete the key here")
        case "renew":
            path = (
                authority.renew_agent(options.agent) if options.agent else authority.renew_broker()
            )
            print(f"{path} is for the same key: copy it over the old certificate")
        case "sign":
            path = authority.sign(options.request)
            print(
                f"{path} is for agent {path.stem}: copy it and {directory / 'ca.pem'} to the device"
            )
        case "list":
            _list(authority)
        case "revoke":
            _revoke(authority, options.which)


def _init(directory: Path, hosts: Sequence[str]) -> None:
    Authority.init(directory, _with_loopback(hosts))
    _tell(directory / "broker.pem")
    print(f"""\
agents reach the broker as {", ".join(hosts)}
keep {directory / "ca.key"} safe: anyone who has it can impersonate any agent, and the broker

broker.toml:
[tls]
certificate = "{directory / "broker.pem"}"
key = "{directory / "broker.key"}"
client_ca = "{directory / "ca.pem"}"
crl = "{directory / "crl.pem"}"

next: broker pki issue AGENT""")


def _list(authority: Authority) -> None:
    rows = [
        (
            issued.state,
            f"until {issued.certificate.not_after:%Y-%m-%d}",
            str(issued.certificate),
            f"serial {issued.certificate.serial:x}",
        )
        for issued in authority.issued()
    ]
    for line in aligned(rows, names=4):
        print(line)


def _revoke(authority: Authority, which: str) -> None:
    for certificate in authority.revoke(which):
        print(f"revoked: {certificate}, serial {certificate.serial:x}")
    print("copy crl.pem to the broker: it then cuts off revoked certificates within seconds")


def _tell(path: Path) -> None:
    print(f"{path} and {path.with_suffix('.key')}")


def _with_loopback(hosts: Sequence[str]) -> list[str]:
    return [*hosts, *(each for each in _LOOPBACK if each not in hosts)]
