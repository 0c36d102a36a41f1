"""A directory that stands for a disk: it can be filled, vanish, and its files be damaged."""

import errno
import random
import shutil
import subprocess
from itertools import count
from pathlib import Path

# First in large pieces, then to the last page.
_PIECES = (1024 * 1024, 4096)

# Enough for a spool or a store, with what a damaged one leaves behind.
_INODES = 256


class Disk:
    """With a size it is a file system of its own, in RAM, until unmount().

    The product uses `path`, a directory on it; what fills the disk lies beside that.
    """

    def __init__(self, root: Path, size_mb: int | None = None, inodes: int = _INODES) -> None:
        self.root = root
        self.path = root / "data"
        self._ballast = root / "ballast"
        self._mounted = size_mb is not None
        root.mkdir()
        if size_mb is not None:
            options = f"size={size_mb}m,nr_inodes={inodes},mode=755"
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(root)], check=True)
        self.path.mkdir()
        self._ballast.mkdir()

    def fill(self) -> None:
        """Leave no byte free."""
        with (self._ballast / "bytes").open("ab", buffering=0) as ballast:
            for piece in _PIECES:
                try:
                    while ballast.write(bytes(piece)) == piece:
                        pass
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def exhaust_inodes(self) -> None:
        """Leave room for bytes, and for no file more."""
        try:
            for number in count():
                (self._ballast / str(number)).touch()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise

    @property
    def full(self) -> bool:
        """Whether it is filled."""
        return any(self._ballast.iterdir())

    def relieve(self) -> None:
        """Give the space back."""
        for file in self._ballast.iterdir():
            file.unlink()

    def empty(self) -> None:
        """Remove the files, as a clean-up script does, and leave the directory."""
        for file in self.path.iterdir():
            file.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the directory with its files; who has them open keeps what nobody else sees."""
        gone = self.root / "gone"
        self.path.rename(gone)  # in one step: nobody makes a file in it meanwhile
        shutil.rmtree(gone)

    def put_back(self) -> None:
        """Make the directory again, if it is gone."""
        self.path.mkdir(exist_ok=True)

    def set_read_only(self, read_only: bool) -> None:
        """Remount it. The system refuses to while a file on it is open for writing."""
        options = f"remount,{'ro' if read_only else 'rw'}"
        subprocess.run(["mount", "-o", options, str(self.root)], check=True)

    def unmount(self) -> None:
        """Let go of the file system and all that is on it."""
        if self._mounted:
            subprocess.run(["umount", str(self.root)], check=True)
            self._mounted = False


def whole_files(database: Path) -> list[Path]:
    """The files of a database that hold something: its own, and its log of commits."""
    files = (database, database.with_name(f"{database.name}-wal"))
    return [file for file in files if file.exists() and file.stat().st_size]


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


def flip_bits(file: Path, dice: random.Random) -> str:
    """Change one to three bits, as an old SD card does; tells where."""
    places = sorted(dice.randrange(file.stat().st_size) for _ in range(dice.randint(1, 3)))
    with file.open("r+b", buffering=0) as flipped:
        for at in places:
            flipped.seek(at)
            byte = flipped.read(1)[0] ^ (1 << dice.randrange(8))
            flipped.seek(at)
            flipped.write(bytes([byte]))
    return f"{file.name}: a bit at {', '.join(map(str, places))}"


def spoil_page(file: Path, dice: random.Random, page_bytes: int = 4096) -> str:
    """Have one page be zeros or noise, under whoever uses the file; not the first one."""
    pages = file.stat().st_size // page_bytes
    page = dice.randrange(1, pages) if pages > 1 else 0
    zeroed = dice.random() < 0.5
    with file.open("r+b", buffering=0) as spoiled:
        spoiled.seek(page * page_bytes)
        spoiled.write(bytes(page_bytes) if zeroed else dice.randbytes(page_bytes))
    return f"{file.name}: page {page + 1} of {pages} {'zeroed' if zeroed else 'overwritten'}"
