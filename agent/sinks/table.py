"""Predictions as a CSV."""

from pathlib import Path

from agent.errors import SinkError
from agent.model import Prediction


class PredictionTable:
    """Writes `id,prediction` (0 or 1), one line a sample, without a header; each line at once.

    Only of sessions from `since` on, their place in the order: ids of earlier
    ones, which are drained first, are not unique. SinkError where the file
    cannot be opened.
    """

    def __init__(self, path: Path, since: int) -> None:
        self._path = path
        self._since = since
        try:
            self._file = path.open("w", encoding="ascii", buffering=1)
        except OSError as error:
            raise SinkError(f"{path}: cannot be written: {error.strerror}") from error

    def emit(self, prediction: Prediction) -> None:
        """Write one line."""
        if prediction.sample.session.sequence >= self._since:
            self._file.write(f"{prediction.sample.id},{prediction.value:d}\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __str__(self) -> str:
        return str(self._path)
