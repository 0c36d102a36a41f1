"""Secrets from files: read at each use, so that a new one counts at once."""

from pathlib import Path

from quartet.errors import SettingsError
from quartet.settings import secret

# Longer is another file.
_MOST_BYTES = 4096


def read_secret(key: str, path: str, least: int = 1) -> str:
    """The only line of a file, which `key` names. SettingsError, which does not show it."""
    try:
        with Path(secret(path)).open("rb") as file:
            said = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise SettingsError(
            f"{key}: {path}: there is no such file: write the secret into it, on one line"
        ) from error
    except OSError as error:
        raise SettingsError(f"{key}: {path}: {error.strerror}") from error
    except ValueError as error:  # a path with a zero in it
        raise SettingsError(f"{key}: {path!r}: is not a path") from error
    try:
        text = said.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        text = ""
    if len(said) > _MOST_BYTES or not text or not text.isprintable():
        raise SettingsError(f"{key}: {path}: expected one line of visible characters")
    if len(text) < least:
        raise SettingsError(f"{key}: {path}: is shorter than {least} characters")
    return text
