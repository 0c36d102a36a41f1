"""A channel that never moves."""

import pytest
from support.rows import LEVEL, at, noise, told

from broker.predictors.chart.charts import Chart


@pytest.mark.parametrize("glitch", [1000.0, -5.0, 1.01])
def test_a_glitch_in_the_warm_up_of_a_constant_channel_does_not_blind_it(glitch: float) -> None:
    rows = [at(row, 0, LEVEL[0]) for row in noise(400)]
    rows[150] = at(rows[150], 0, glitch)
    chart = Chart()
    assert not any(answer for answer, _ in told(chart, rows))
    stepped = [at(row, 0, 1.5) for row in rows[:10]]
    assert told(chart, stepped)[-1] == (True, None)
