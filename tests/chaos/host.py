"""What this machine allows: file systems of our own, a clock of the agent's own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_MARK = "CHAOS_NAMESPACE"

# In namespaces of its own a run leaves no mount and no process behind, however it ends.
_PRIVATE = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
_PRIVATE += ["--mount-proc"]
_PRIVATE_FOR_USERS = ["unshare", "--user", "--map-root-user", *_PRIVATE[1:]]

# What libfaketime shares with nobody, and does not clear away when it is killed, is
# in a directory of our own.
_INSIDE = 'mount -t tmpfs tmpfs /dev/shm; exec "$@"'


def is_private() -> bool:
    """Whether this program was started anew in a namespace of its own."""
    return bool(os.environ.get(_MARK))


def enter_private_namespace(module: str, arguments: Sequence[str], *, as_root: bool) -> str:
    """Start this module again where it may mount; returns why not, or nothing when it is there.

    `as_root`: not as a user who is root there alone, and can start nothing as somebody else.
    """
    if is_private():
        return ""
    if as_root and os.geteuid():
        return "that takes root"
    unshare = _PRIVATE if os.geteuid() == 0 else _PRIVATE_FOR_USERS
    inside = [*unshare, "sh", "-euc", _INSIDE, "sh"]
    try:
        subprocess.run([*inside, "true"], check=True, capture_output=True, text=True)
    except FileNotFoundError:
        return "there is no command unshare"
    except subprocess.CalledProcessError as error:
        return str(error.stderr).strip()
    sys.stdout.flush()
    os.environ[_MARK] = "1"
    return os.execvp(inside[0], [*inside, sys.executable, "-m", module, *arguments])  # noqa: S606


def faketime_library() -> Path | None:
    """Debian's libfaketime, in its form for threads."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def processes_of(token: str) -> list[int]:
    """The processes, but this one, that have the token in their environment."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            content = environment.read_bytes()
        except OSError:  # another user's, or ended meanwhile
            continue
        if token.encode() in content and int(environment.parent.name) != os.getpid():
            found.append(int(environment.parent.name))
    return found
