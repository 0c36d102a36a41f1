"""One log entry a prediction, with fields for journald."""

import logging
from datetime import UTC, datetime

from agent.model import Prediction

log = logging.getLogger("agent.predictions")


class PredictionLog:
    """Logs predictions: info for False, warning for True. All, or only the changes."""

    def __init__(self, agent_id: str, *, changes_only: bool) -> None:
        self._agent_id = agent_id
        self._changes_only = changes_only
        self._last: bool | None = None
        log.setLevel(logging.INFO)  # whatever the level of the other loggers

    def emit(self, prediction: Prediction) -> None:
        """Log one prediction, unless only changes are asked for and it is none."""
        if self._changes_only and prediction.value == self._last:
            return
        self._last = prediction.value
        sample = prediction.sample
        seconds, ns = divmod(sample.sampled_at_ns, 10**9)
        sampled_at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=ns // 1000)
        shown = "  ".join(f"{value:.5g}" for value in sample.values)
        log.log(
            logging.WARNING if prediction.value else logging.INFO,
            f"sample {sample.id}: {prediction.value}  {shown}",
            extra={
                "journal_fields": {
                    "SAMPLE_ID": str(sample.id),
                    "SESSION_ID": sample.session.id,
                    "AGENT_ID": self._agent_id,
                    "PREDICTION": f"{prediction.value:d}",
                    **{f"SENSOR{n}": f"{v:.9g}" for n, v in enumerate(sample.values, 1)},
                    "SAMPLED_AT": sampled_at.isoformat(timespec="microseconds"),
                    "ROUND_TRIP_US": str(prediction.round_trip_ns // 1000),
                }
            },
        )

    def close(self) -> None:
        """Nothing is held back."""

    def __str__(self) -> str:
        return "the log of predictions"
