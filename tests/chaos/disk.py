"""A directory that stands for a disk: it can be filled, and its files damaged."""

import errno
import random
import subprocess
from pathlib import Path

# First in large pieces, then to the last page.
_PIECES = (1024 * 1024, 4096)


class Disk:
    """With a size it is a file system of its own, in RAM, until unmount()."""

    BALLAST = "ballast"

    def __init__(self, path: Path, size_mb: int | None = None) -> None:
        self.path = path
        self._ballast = path / self.BALLAST
        self._mounted = size_mb is not None
        path.mkdir()
        if size_mb is not None:
            options = f"size={size_mb}m,mode=755"
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=True)

    def fill(self) -> None:
        """Leave no byte free."""
        with self._ballast.open("ab", buffering=0) as ballast:
            for piece in _PIECES:
                try:
                    while ballast.write(bytes(piece)) == piece:
                        pass
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    @property
    def full(self) -> bool:
        """Whether it is filled."""
        return self._ballast.exists()

    def relieve(self) -> None:
        """Give the space back."""
        self._ballast.unlink(missing_ok=True)

    def unmount(self) -> None:
        """Let go of the file system and all that is on it."""
        if self._mounted:
            subprocess.run(["umount", str(self.path)], check=True)
            self._mounted = False


def damage(file: Path, dice: random.Random) -> str:
    """Spoil a file in some way; tells how."""
    content = bytearray(file.read_bytes())
    match dice.choice(["blots", "blots", "torn", "head", "garbage"]):
        case "blots":
            for _ in range(dice.randint(1, 4)):
                at = dice.randrange(len(content) or 1)
                content[at : at + dice.randint(16, 512)] = dice.randbytes(dice.randint(16, 512))
            how = "blots"
        case "torn":
            del content[dice.randrange(len(content) or 1) :]
            how = f"torn after {len(content)} bytes"
        case "head":
            content[:100] = dice.randbytes(100)
            how = "another head"
        case _:
            content = bytearray(dice.randbytes(len(content)))
            how = "garbage"
    with file.open("r+b", buffering=0) as spoiled:  # in place: its disk may be full
        spoiled.write(content)
        spoiled.truncate()
    return f"{file.name}: {how}"
