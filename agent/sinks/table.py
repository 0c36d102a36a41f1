"""Predictions of this start, as a CSV."""

from agent.errors import SinkError
from agent.model import Prediction
from quartet.predictions import PredictionFile, Target


class PredictionTable:
    """Writes each prediction at once, in the form of quartet.predictions.

    Only of sessions from `since` on, their place in the order: ids of earlier
    ones, which are drained first, are not unique. SinkError where the file
    cannot be opened.
    """

    def __init__(self, target: Target, since: int) -> None:
        self._path = target.path
        self._since = since
        try:
            self._file = PredictionFile(target, at_once=True)
        except OSError as error:
            raise SinkError(f"{target.path}: cannot be written: {error.strerror}") from error

    def emit(self, prediction: Prediction) -> None:
        """Write one line."""
        if prediction.sample.session.sequence >= self._since:
            sample = prediction.sample
            self._file.write(
                sample.id, sample.sampled_at_ns, sample.values, prediction=prediction.value
            )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __str__(self) -> str:
        return str(self._path)
