"""The predictor that gave recorded answers, where this machine has it."""

from broker.config import PredictorSettings
from broker.errors import PredictorError
from broker.predictors import BlackBox
from broker.predictors.load import load

# Those that a broker may run without any configuration.
_USUAL = ("chart", "parity")


def find(digest: str, configured: PredictorSettings) -> tuple[PredictorSettings, BlackBox] | None:
    """The configured predictor, else a built-in one with its defaults, if it has this digest."""
    for candidate in (configured, *map(PredictorSettings, _USUAL)):
        try:
            black_box = load(candidate.use, candidate.options)
        except PredictorError:  # what it needs may be on the broker's machine alone
            continue
        if black_box.digest == digest:
            return candidate, black_box
    return None
