"""Whether a machine that has changed runs steadily again, at a level of its own."""

import statistics
from collections.abc import Sequence

from broker.predictors.chart.baseline import Baseline, decile_spread
from broker.predictors.chart.vectors import deviation
from quartet.channels import Values

# The thirds of a steady channel lie so close together. Load and noise move the median of a third
# by half a spread or so; a fault that grows moves it by more, within three hundred rows.
_STILL_SPREADS = 1.5

# It does not move away from where it came from, not even slowly: a fault would. Back it may move,
# as what overshoots and decays does, and on with the drift that it had.
_AWAY_SPREADS = 0.75

# After a change of speed or load a machine may run more roughly. A sensor that comes loose, or a
# bearing that breaks up, scatters many times as much.
_SCATTER = 3.0


# A machine that drifted before goes on drifting, whatever else happens to it. Fewer rows than that
# do not show how fast: a level wanders.
_LEAST_DRIFT_ROWS = 1000
# The middle of the first third lies so many spans before that of the last.
_THIRDS_APART = 2 / 3


def is_settled(
    rows: Sequence[Values], baseline: Baseline, followed: Values, span: int, quiet_rows: int
) -> bool:
    """By the thirds of the rows, at least 30, against the baseline that they have left.

    They lie within `span` rows of the line. In `quiet_rows` before them, its level had followed a
    drift by `followed`, in spreads.
    """
    spreads = [deviation(row, baseline.level, baseline.spread) for row in rows]
    share = _THIRDS_APART * span / max(_LEAST_DRIFT_ROWS, quiet_rows)
    columns = zip(zip(*spreads, strict=True), followed, strict=True)
    return all(_lies_still(column, share * drift) for column, drift in columns)


def _lies_still(column: Sequence[float], drift: float) -> bool:
    third = len(column) // 3
    first = statistics.median(column[:third])
    middle = statistics.median(column[third:-third])
    last = statistics.median(column[-third:])
    apart = max(first, middle, last) - min(first, middle, last)
    away = abs(last) - abs(first) - max(0.0, drift if last > 0 else -drift)
    return apart <= _STILL_SPREADS and away <= _AWAY_SPREADS and decile_spread(column) <= _SCATTER
