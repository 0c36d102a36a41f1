"""Check the files that decide who is trusted, on the control node.

trust.py CA [CRL]: the revocation list that the machine has is on stdin, if it has one. Exit 1, with
the reason, where a file cannot be used, or the list is older than the machine's.
"""

import contextlib
import sys

from quartet.errors import SettingsError
from quartet.pem import Revoked, read_authorities, read_revoked


def main(authorities: str, *lists: str) -> str | None:
    """Check them; an error for a person, or nothing."""
    try:
        pem = read_authorities("tls.client_ca", authorities).pem
        revoked = [read_revoked(path, pem) for path in lists]
    except SettingsError as error:
        return str(error)
    lacks = _revoked_there(pem).difference(*revoked) if lists else ()
    if lacks:
        serials = ", ".join(f"{serial:x}" for _, serial in sorted(lacks))
        return (
            f"tls.crl: {lists[0]}: is older than the list on the machine, which revokes {serials}"
            " as well: bring the newest; or, if they are trusted again, remove the machine's own"
        )
    return None


def _revoked_there(authorities_pem: bytes) -> Revoked:
    """By the authorities that stay; nobody where there is no list, or none that can be read."""
    with contextlib.suppress(SettingsError):
        return read_revoked("/dev/stdin", authorities_pem)
    return frozenset()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
