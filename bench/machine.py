"""Agents made up: what they measure and how they alarm, straight into the real recorder."""

import functools
import math
import random

from broker.model import Alarm, Answer, Sample, Standing
from broker.recorder.sqlite.keeping import Keeping
from broker.records import Batch, Explanation
from quartet.channels import Values, as_float32
from wire.sensors import Label, encode

DIGEST = "made up"
KEEPING = Keeping(max_age_days=3650.0, max_bytes=1 << 40)
_S_NS = 10**9
SENSORS = encode(
    [Label("drive end", "g"), Label("fan end", "g"), Label("gear in", "g"), Label("gear out", "g")]
)
_LEVELS = 0.8, 1.4, 0.5, 2.0
# Rows of noise for one hour of the day, used again and again. A prime: no rate divides it.
_ROWS = 997
# Machines beyond have the noise of an earlier one, at other times.
_KINDS = 8


class Machine:
    """What one agent measures: a daily wave with noise, and a fault on one sensor."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._faulty = number % 4
        self.alarm: Alarm | None = None

    def add(
        self,
        batch: Batch,
        id_: int,
        at_ns: int,
        *,
        faulty: bool,
        other: tuple[int, float] | None = None,
    ) -> None:
        """Add the sample of a time to a batch, with `other`: a channel and its value instead."""
        rows = _noise(self._number % _KINDS, at_ns // _S_NS // 3600 % 24)
        values = rows[(id_ + self._number) % _ROWS]
        if faulty:
            values = _changed(values, self._faulty, values[self._faulty] * 1.5)
        if other:
            values = _changed(values, *other)
        batch.samples.append(Sample(id_, values))
        batch.answers.append(Answer(id_, faulty))
        if faulty is not (self.alarm is not None):
            self._turn(batch, at_ns, begins=faulty)

    def _turn(self, batch: Batch, at_ns: int, *, begins: bool) -> None:
        text = "alarm is over"
        if begins:
            shares = [(81 if n == self._faulty else 7 if n else 5, n + 1) for n in range(4)]
            parts = ", ".join(f"sensor{n} {share}%" for share, n in sorted(shares, reverse=True))
            text = f"alarm: MEWMA is 35.6, its limit 28: {parts}"
        batch.explanations = [*batch.explanations, Explanation(len(batch.samples), text)]
        self.alarm = Alarm(at_ns, text) if begins else None
        batch.standing = Standing(alarm=self.alarm)


@functools.cache
def _noise(kind: int, hour: int) -> list[Values]:
    draw = random.Random(24 * kind + hour)  # noqa: S311 - noise
    swing = 1.0 + 0.1 * math.sin(hour * math.tau / 24)
    return [
        as_float32(level * swing * (1.0 + 0.01 * draw.gauss()) for level in _LEVELS)
        for _ in range(_ROWS)
    ]


def _changed(values: Values, channel: int, value: float) -> Values:
    changed = list(values)
    changed[channel] = value
    return as_float32(changed)
