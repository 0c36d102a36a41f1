"""Predictions as a CSV: `id,prediction` (0 or 1), one line for each sample, without a header."""

from pathlib import Path
from typing import Self


class PredictionFile:
    """Writes a new file in place of one at `path`. One thread. OSError where that fails.

    With `at_once`, each line is in the file when write() returns.
    """

    def __init__(self, path: Path, *, at_once: bool) -> None:
        buffering = 1 if at_once else -1
        self._file = path.open("w", buffering, encoding="ascii", newline="\n")

    def write(self, sample_id: int, prediction: bool) -> None:
        """Write one line."""
        self._file.write(f"{sample_id},{prediction:d}\n")

    def close(self) -> None:
        """Write out what is held back, and close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
