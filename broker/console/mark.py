"""That the console has had users: a file beside console.db, which may be lost with its users."""

import logging
from pathlib import Path

log = logging.getLogger(__name__)

_TEXT = (
    "This console has had users, so people must sign in, even if console.db is lost.\n"
    "Without this file, and without users, a console on loopback or with --insecure lets"
    " everybody in.\n"
)


class Mark:
    """Set once, and from then on. To take it back, a person deletes the file."""

    def __init__(self, database: Path) -> None:
        """`database` is console.db."""
        self.path = database.with_name(f"{database.stem}.sign-in")

    def is_set(self) -> bool:
        """Whether there have been users, as far as somebody can tell: an error means yes."""
        try:
            self.path.lstat()
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    def set(self) -> None:
        """Make the file. Without it, sign-in stays required until the console ends."""
        try:
            self.path.write_text(_TEXT, "utf-8")
        except OSError as error:
            log.warning(
                "%s: cannot be written: %s: if console.db is lost, the next start lets everybody"
                " in without sign-in",
                self.path,
                error.strerror,
            )
