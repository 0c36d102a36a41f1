"""Rows of a machine, made up: noise about a level, and what may happen to it."""

import random
import struct
from array import array
from collections.abc import Iterator, Sequence

from broker.model import Sample
from broker.predictors.chart.charts import Chart
from quartet.channels import Values

LEVEL = 1.0, 2.0, 3.0, 0.5
SPREAD = 0.01, 0.02, 0.03, 0.005

# Behind what a snapshot says of a chart, of its scales and of the first of them.
_LEVEL_AT = 10 + 3 + 22

NAN = float("nan")
FAILED = NAN, NAN, NAN, NAN


def sample(*values: float) -> Sample:
    first, second, third, fourth = values
    return Sample(0, (first, second, third, fourth))


def float32(values: Sequence[float]) -> Values:
    """As the wire rounds them."""
    one, two, three, four = array("f", values)
    return one, two, three, four


def noise(count: int, *, seed: int = 1) -> Iterator[Values]:
    """Rows of a healthy machine, independent and Gaussian."""
    draw = random.Random(seed).gauss  # noqa: S311
    for _ in range(count):
        yield float32(
            [level + spread * draw() for level, spread in zip(LEVEL, SPREAD, strict=True)]
        )


def moved(row: Values, channel: int, spreads: float) -> Values:
    """The row with one channel off by so many of its spreads."""
    values = list(row)
    values[channel] += spreads * SPREAD[channel]
    return float32(values)


def at(row: Values, channel: int, value: float) -> Values:
    """The row with this value on one channel."""
    values = list(row)
    values[channel] = value
    return float32(values)


def told(chart: Chart, rows: Sequence[Values], first_id: int = 0) -> list[tuple[bool, str | None]]:
    """The answer to each row, and what the chart has to say about it."""
    return [
        (chart.predict(Sample(id_, row)), chart.explain()) for id_, row in enumerate(rows, first_id)
    ]


def warm(*, seed: int = 1, quiet: int = 0) -> Chart:
    """A chart with a baseline from noise, and so many rows of noise behind it."""
    chart = Chart()
    told(chart, list(noise(300 + quiet, seed=seed)))
    return chart


def level_of(chart: Chart) -> list[float]:
    """Where the level of a chart is now, in spreads from that of the noise."""
    level = struct.unpack_from("<4d", chart.snapshot(), _LEVEL_AT)
    return [(n - at_) / s for n, at_, s in zip(level, LEVEL, SPREAD, strict=True)]
