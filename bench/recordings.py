"""Recordings of machines to which something happens: steps, drifts, visits, a disturbed warm-up.

All are made up, from a seed. `base` is a machine whose unit is about the spread of single rows;
others rest on `dataset/make_dataset.py`.
"""

from dataclasses import dataclass

import numpy as np

from dataset.make_dataset import CHANNELS, Floats, make

Rng = np.random.Generator

# The first row of most changes: four times what `chart` needs to learn.
_CHANGE_ROW = 1200
_ROWS = 4000
# At 10 rows a second, the agent's usual rate.
_DAY_ROWS = 864_000


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Rows of one machine, and where in them something happens."""

    values: Floats
    """Shape (rows, 4)."""
    changed: int = 0
    """The first row of the change that is to be told."""
    settles: int | None = None
    """The row from which on it is to settle, if that is another: the second step of two."""
    worse: int | None = None
    """From this row on, a new alarm is wanted."""
    jump: tuple[int, int] | None = None
    """A row, and the id that it has; from there on, ids rise again by 1."""
    undisturbed: Floats | None = None
    """The rows to learn from, without what disturbs them."""


def base(rng: Rng, rows: int) -> Floats:
    """A healthy machine: noise that is independent, what wanders, and a load on all channels."""
    x = rng.standard_normal((rows, CHANNELS))
    for channel in range(CHANNELS):
        x[:, channel] += _wander(rng, rows, rng.uniform(3, 60), rng.uniform(0.2, 0.7))
    level = rng.uniform(60, 120, CHANNELS)
    load = _wander(rng, rows, rng.uniform(20, 150), 0.005)
    x += level * (1 + load)[:, np.newaxis]
    return x


def healthy(rng: Rng, *, rows: int) -> Recording:
    return Recording(base(rng, rows))


def healthy_bearings(rng: Rng, *, rows: int) -> Recording:
    return Recording(make(_seed(rng), rows, healthy=True).values)


def faulty_bearings(rng: Rng, *, rows: int) -> Recording:
    """A fault that grows to the end, with a healing dip."""
    recording = make(_seed(rng), rows)
    return Recording(recording.values, worse=recording.onset_row)


def step(rng: Rng, *, spreads: float | None, over: float = 1.0, rows: int = _ROWS) -> Recording:
    """One channel steps and stays, from above: at first by up to `over` times the step more."""
    values = base(rng, rows)
    by = _signed(rng, spreads or rng.uniform(4, 30))
    values[_CHANGE_ROW:, _channel(rng)] += by + _decay(
        rng, rows - _CHANGE_ROW, by * rng.uniform(0, over)
    )
    return Recording(values, _CHANGE_ROW)


def step_then_worse(rng: Rng, *, spreads: float) -> Recording:
    """After the step, the same channel goes on in the same direction, faster and faster."""
    values, worse = base(rng, _ROWS), 2800
    channel, by = _channel(rng), _signed(rng, spreads)
    after = np.arange(_ROWS - worse)
    values[_CHANGE_ROW:, channel] += by + _decay(rng, _ROWS - _CHANGE_ROW, by * rng.uniform())
    values[worse:, channel] += np.copysign(25 * (after / 800) ** 2, by)
    return Recording(values, _CHANGE_ROW, worse=worse)


def two_steps(rng: Rng) -> Recording:
    """The second makes the first larger or smaller, or is on another channel."""
    values = base(rng, _ROWS)
    channel, by = _channel(rng), _signed(rng, rng.uniform(5, 7.5))
    second = _CHANGE_ROW + int(rng.integers(150, 601))
    values[_CHANGE_ROW:, channel] += by
    if rng.random() < 0.5:
        share = rng.uniform(-0.8, -0.4) if rng.random() < 0.5 else rng.uniform(0.3, 0.6)
        values[second:, channel] += by * share
    else:
        other = (channel + int(rng.integers(1, CHANNELS))) % CHANNELS
        values[second:, other] += _signed(rng, rng.uniform(4, 7.5))
    return Recording(values, _CHANGE_ROW, settles=second)


def stairs(rng: Rng) -> Recording:
    values, channel = base(rng, 5000), _channel(rng)
    by = _signed(rng, 5)
    for number in range(6):
        values[_CHANGE_ROW + 600 * number :, channel] += by
    return Recording(values, _CHANGE_ROW)


def grows_and_pauses(rng: Rng) -> Recording:
    """6 spreads in 400 rows, a pause of 350 rows, and again."""
    values = base(rng, _ROWS)
    since = np.arange(_ROWS - _CHANGE_ROW)
    grown = 6 * (since // 750 + np.minimum(since % 750, 400) / 400)
    values[_CHANGE_ROW:, _channel(rng)] += _signed(rng, 1) * grown
    return Recording(values, _CHANGE_ROW)


def creep(rng: Rng) -> Recording:
    values = base(rng, _ROWS)
    since = np.arange(_ROWS - _CHANGE_ROW)
    values[_CHANGE_ROW:, _channel(rng)] += _signed(rng, 1) * since / rng.uniform(100, 400)
    return Recording(values, _CHANGE_ROW)


def visit(rng: Rng, *, faulty: bool) -> Recording:
    """One channel is 8 % higher for a while; a fault, if any, begins afterwards."""
    recording = make(_seed(rng), _ROWS, healthy=not faulty)
    values = recording.values.copy()
    values[_CHANGE_ROW : _CHANGE_ROW + rng.integers(400, 701), _channel(rng)] *= 1.08
    return Recording(values, _CHANGE_ROW, worse=recording.onset_row)


def disturbed(rng: Rng, *, faulty: bool = False, then_step: float = 0.0) -> Recording:
    """The warm-up holds a machine at less load, once or twice, half of them with an overshoot."""
    recording = make(_seed(rng), 982, healthy=not faulty)
    undisturbed = recording.values.copy()
    worse = recording.onset_row
    if then_step:
        worse, channel = int(rng.integers(600, 751)), _channel(rng)
        by = _signed(rng, then_step * _spread(undisturbed[300:worse, channel]))
        undisturbed[worse:, channel] += by
    values = undisturbed.copy()
    begins = 0
    for _ in range(rng.integers(1, 3)):
        ends = int(rng.integers(begins + 30, 281))
        values[begins:ends] *= rng.uniform(0.75, 0.95)
        if rng.random() < 0.5:
            over = rng.uniform(0.02, 0.1) * np.exp(
                -np.arange(len(values) - ends) / rng.uniform(10, 40)
            )
            values[ends:] *= 1 + over[:, np.newaxis]
        begins = int(rng.integers(0, 200))
    return Recording(values, worse=worse, undisturbed=undisturbed)


def restart(rng: Rng) -> Recording:
    """30 rows far off, back within some dozens, there or a little beside; ids may jump."""
    values, row = base(rng, _ROWS), int(rng.integers(50, 3500))
    direction = rng.choice([-1.0, 1.0])
    fades = np.exp(-np.maximum(np.arange(_ROWS - row) - 30, 0) / rng.uniform(5, 30))
    for channel in range(CHANNELS):
        values[row:, channel] += direction * rng.uniform(5, 15) * fades
    if rng.random() < 0.5:
        values[row:, _channel(rng)] += _signed(rng, rng.uniform(1, 4)) * (1 - fades)
    next_id = [0, row, row + int(rng.integers(1, 5000))][rng.integers(3)]
    return Recording(values, row, jump=(row, next_id))


def drift(rng: Rng, *, spreads: float = 0.0) -> Recording:
    """Each channel has a slow ramp of its own; one may step in the midst of it."""
    values = base(rng, _ROWS)
    begins, midst = 1000, 2500
    values[begins:] += np.arange(1, 3001)[:, np.newaxis] / 3000 * rng.uniform(-10, 10, CHANNELS)
    if not spreads:
        return Recording(values)
    values[midst:, _channel(rng)] += _signed(rng, spreads)
    return Recording(values, midst)


def livelier(rng: Rng, *, times: float) -> Recording:
    """All that is not level scatters more."""
    values = base(rng, _ROWS)
    level = np.median(values, axis=0)
    values[_CHANGE_ROW:] = level + times * (values[_CHANGE_ROW:] - level)
    return Recording(values, _CHANGE_ROW)


def step_of_all(rng: Rng, *, spreads: float) -> Recording:
    values = base(rng, _ROWS)
    values[_CHANGE_ROW:] += _signed(rng, spreads)
    return Recording(values, _CHANGE_ROW)


def days(rng: Rng, *, days: float, wave: float = 0.0, spreads: float = 0.0) -> Recording:
    """10 rows a second, warmer by day; a fault grows to its size from day 2.5 on, over one day.

    `wave` is the most by which day and night lie off the mean, drawn for each channel.
    """
    rows, onset = int(days * _DAY_ROWS), int(2.5 * _DAY_ROWS)
    values = base(rng, rows)
    at_day = np.arange(rows) / _DAY_ROWS
    day_and_night = np.sin(2 * np.pi * (at_day + rng.uniform()))
    values += day_and_night[:, np.newaxis] * rng.uniform(0, wave, CHANNELS)
    if not spreads:
        return Recording(values)
    grown = np.clip(at_day - 2.5, 0, 1)
    values[:, _channel(rng)] += _signed(rng, spreads) * grown
    return Recording(values, worse=onset)


def long_step(rng: Rng, *, spreads: float) -> Recording:
    """A step somewhere in a long line."""
    rows = 400_000
    values, row = base(rng, rows), int(rng.integers(20_000, 380_000))
    values[row:, _channel(rng)] += _signed(rng, spreads)
    return Recording(values, row)


def _wander(rng: Rng, rows: int, tau_rows: float, deviation: float) -> Floats:
    """A stationary Ornstein-Uhlenbeck path about 0, shape (rows,)."""
    kept = float(np.exp(-1 / tau_rows))
    kicks = deviation * rng.standard_normal(rows)
    kicks[1:] *= np.sqrt(1 - kept**2)  # the first kick is the stationary start
    at, path = 0.0, []
    for kick in kicks.tolist():
        at = kept * at + kick
        path.append(at)
    return np.array(path)


def _decay(rng: Rng, rows: int, height: float) -> Floats:
    fades: Floats = height * np.exp(-np.arange(rows) / rng.uniform(20, 150))
    return fades


def _spread(column: Floats) -> float:
    """As a Gaussian's standard deviation, by the deciles."""
    low, high = np.quantile(column, [0.1, 0.9])
    return float(high - low) / 2.563


def _signed(rng: Rng, size: float) -> float:
    return size if rng.random() < 0.5 else -size


def _channel(rng: Rng) -> int:
    return int(rng.integers(CHANNELS))


def _seed(rng: Rng) -> int:
    return int(rng.integers(1 << 31))
