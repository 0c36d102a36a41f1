"""A file that is there as a whole, or not at all."""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from broker.errors import OutputError
from quartet.errors import QuartetError, SettingsError

STDOUT = Path("-")
"""Stands for standard output."""

# Characters of a name, of four bytes at most: a directory takes 255 bytes for the temporary one.
_MOST_IN_NAME = 50


def check(path: Path, *, overwrite: bool) -> None:
    """SettingsError for a path that cannot be written, or has a file that must stay."""
    if path == STDOUT:
        return
    if path.is_dir():
        raise SettingsError(f"{path}: is a directory: name a file in it")
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if target.is_symlink():
        raise SettingsError(f"{path}: is a link that leads back to itself: choose another name")
    if not target.parent.is_dir():
        raise SettingsError(f"{path}: there is no directory {target.parent}")
    if path.is_file() and not overwrite:
        raise SettingsError(
            f"{path}: exists already: give --overwrite to replace it, or another name"
        )


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file to write. It gets its name at the end; after an error there is none.

    "-" is standard output, and a pipe or a device is written as it is. A link stays, and the file
    that it leads to is written. OutputError where writing fails.
    """
    try:
        if path == STDOUT:
            with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as file:
                yield file
        elif path.exists() and not path.is_file():
            with path.open("wb") as file:
                yield file
        else:
            with _renamed(Path(os.path.realpath(path))) as file:
                yield file
    except (BrokenPipeError, QuartetError):  # whoever reads has seen enough; a store's
        raise
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written: {error.strerror or error}: free some space or choose"
            " another place; no file was left"
        ) from error


@contextmanager
def _renamed(path: Path) -> Iterator[BinaryIO]:
    temporary = path.with_name(f".{path.name[:_MOST_IN_NAME]}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
