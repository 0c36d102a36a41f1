"""What a PostgreSQL server keeps of a password (SCRAM-SHA-256), so that it never sees the password.

verifier.py: {"password": ..., "has": VERIFIER or null} on stdin, in JSON. Prints the verifier that
the server should have: the same if it is of this password. Exit 1, with the reason, for a password
that cannot be used.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import sys

_FORM = re.compile(r"SCRAM-SHA-256\$(?P<count>\d{1,9}):(?P<salt>[^$]*)\$[^:]*:.*")

# As the server does; both are part of the verifier.
_ITERATIONS = 4096
_SALT_BYTES = 16


def verifier(password: str, salt: bytes, iterations: int) -> str:
    """RFC 5803, of an ASCII password."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    salt64, stored64, server64 = (
        base64.b64encode(part).decode() for part in (salt, stored_key, server_key)
    )
    return f"SCRAM-SHA-256${iterations}:{salt64}${stored64}:{server64}"


def wanted(password: str, has: str | None) -> str:
    """The verifier that the server has, if it is of this password; else a new one."""
    if found := _FORM.fullmatch(has or ""):
        same = verifier(password, base64.b64decode(found["salt"]), int(found["count"]))
        if hmac.compare_digest(same, has or ""):
            return same
    return verifier(password, os.urandom(_SALT_BYTES), _ITERATIONS)


def main() -> str | None:
    """Print it; an error for a person, or nothing."""
    given = json.load(sys.stdin)
    password = given["password"]
    if not password:
        return "postgres_password is empty: choose one, and keep it in a vault"
    if not password.isascii() or not password.isprintable():
        return "postgres_password has characters other than those of ASCII: choose another one"
    print(wanted(password, given["has"]))  # noqa: T201
    return None


if __name__ == "__main__":
    sys.exit(main())
