"""Passwords: kept as what scrypt makes of them, from which nobody gets them back."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

LEAST = 10
"""Characters of a password."""

MOST = 256
"""Characters of a password."""

# 32 MB and about 0.1 s for each try: more than whoever has stolen the file likes to pay often.
_N, _R, _P = 2**15, 8, 1
_MOST_MEMORY = 64 * 1024 * 1024
_BYTES = 32


@dataclass(frozen=True, slots=True)
class Derived:
    """What is kept of a password."""

    salt: bytes
    key: bytes


# Of nobody's password: a name that does not exist takes as long as one that does.
_NOBODY = Derived(bytes(_BYTES), bytes(_BYTES))


def derived(password: str) -> Derived:
    """What to keep of a password. About 0.1 s."""
    salt = secrets.token_bytes(_BYTES)
    return Derived(salt, _key(password, salt))


def fits(password: str, kept: Derived | None) -> bool:
    """Whether it is the password. None, where there is no such user, takes as long."""
    derived = kept or _NOBODY
    same = hmac.compare_digest(_key(password, derived.salt), derived.key)
    return same and kept is not None


def _key(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=salt,
        n=_N,
        r=_R,
        p=_P,
        maxmem=_MOST_MEMORY,
        dklen=_BYTES,
    )
