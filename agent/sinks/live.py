"""The live view: the sensors, the latest prediction and the agent's state, on a terminal."""

import math
import os
import time
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from agent.model import Prediction, Sample
from agent.sinks.region import Region
from agent.state import LinkState, State, line
from quartet.blame import named_in
from quartet.clock import Clock
from quartet.foreign import shown
from wire.sensors import Label

_BARS = "▁▂▃▄▅▆▇█"
_FAILED = "·"
_MARK = "◀"
_DRAWN_WITH = f"{_BARS}{_FAILED}{_MARK}→…"

# Terminals that cannot move the cursor.
_DUMB = ("dumb", "unknown")

_MOST_SAMPLES = 400  # in a sparkline: more columns than a terminal has
_RATE_OVER = 256  # arrivals that the shown rate is measured over

_MOST_IN_STATUS = 1000

# Rows: prediction, values, status.
_VALUES_FIT = 3

# Columns. A longer name is cut; a shorter sparkline tells nothing.
_MOST_IN_NAME = 20
_LEAST_IN_NAME = 4
_VALUE = 10
_LEAST_GRAPH = 8

# In percent of an alarm: what has less is not its cause. One of four equal parts has 25.
_LEAST_SHARE = 20.0


class LiveView:
    """Shows predictions as they come, at the foot of a terminal. Loop only.

    What this process or another one prints scrolls by above it. `labels` name the sensors; what
    has none is no sensor, and has no row.
    """

    def __init__(
        self, title: str, labels: Sequence[Label | None], stream: TextIO, clock: Clock = time
    ) -> None:
        self._title = title
        there = [(index, label) for index, label in enumerate(labels) if label]
        self._indices = [index for index, _ in there]
        self._names = [_name(index + 1, label) for index, label in there]
        self._units = [shown(label.unit) for _, label in there]
        # Rows: with one a sensor; a title; a second row of the status.
        self._sensors_fit = len(there) + 2
        self._title_fits = self._sensors_fit + 1
        self._most_rows = self._title_fits + 1
        self._clock = clock
        self._history: list[deque[float]] = [deque(maxlen=_MOST_SAMPLES) for _ in there]
        self._sample: Sample | None = None
        self._prediction: Prediction | None = None
        self._arrivals_s: deque[float] = deque(maxlen=_RATE_OVER)
        self._region = Region(stream)
        self._console = Console(file=stream, force_terminal=True, highlight=False)

    def emit(self, prediction: Prediction) -> None:
        """Take a prediction; it is shown at the next refresh."""
        self._prediction = prediction
        self._arrivals_s.append(self._clock.monotonic())

    def refresh(self, state: State, sample: Sample | None) -> None:
        """Draw the view, with the agent's state, and the latest sample."""
        if sample is not None and sample is not self._sample:
            self._sample = sample
            for index, history in zip(self._indices, self._history, strict=True):
                history.append(sample.values[index])
        self._console.width, rows = self._region.fit(self._most_rows)
        self._region.draw(self._in_ansi(self._lines(state, rows)))

    def close(self) -> None:
        """Leave the view on the screen as it was drawn last."""
        self._region.close()

    def __str__(self) -> str:
        return "the live view"

    def _lines(self, state: State, rows: int) -> list[Text]:
        """What fits into `rows` rows. Prediction, values and status come first."""
        indices = blamed_in(state.alarm_reason)
        blamed = {row for row, index in enumerate(self._indices) if index in indices}
        status = Text(shown(line(state), _MOST_IN_STATUS), _style(state))
        prediction = Text.assemble("prediction ", self._prediction_word(), self._prediction_place())
        if rows >= self._sensors_fit:
            lines = [*self._sensor_lines(blamed), prediction]
            if rows >= self._title_fits:
                lines.insert(0, Text.assemble(("quartet ", "bold"), shown(self._title)))
        elif rows >= _VALUES_FIT:
            lines = [prediction, self._values_line(blamed)]
        else:
            parts = [Text.assemble(self._prediction_word()), self._values_line(blamed), status]
            return self._wrapped(Text(" ").join(parts), rows)
        return lines + self._wrapped(status, rows - len(lines))

    def _sensor_lines(self, blamed: Collection[int]) -> list[Text]:
        """A line a sensor: name, value, unit; its past between least and greatest, if it fits."""
        width = self._console.width
        units = max(map(cell_len, self._units))
        fixed = 1 + _VALUE + 1 + units + 1 + len(_MARK)
        longest = max(map(cell_len, self._names))
        names = max(_LEAST_IN_NAME, min(longest, _MOST_IN_NAME, width - fixed))
        pasts = self._pasts(width - names - fixed)
        lines = []
        for row, history in enumerate(self._history):
            style = "bold red" if row in blamed else "bold"
            parts = [
                Text(_cut(self._names[row], names), style if row in blamed else ""),
                Text(f"{_latest(history):>{_VALUE}}", style),
                Text(set_cell_size(self._units[row], units)),
                Text(_MARK if row in blamed else " ", style),
                *pasts[row],
            ]
            lines.append(Text(" ").join(parts))
        return lines

    def _pasts(self, columns: int) -> list[list[Text]]:
        """The sparkline of each sensor, whose newest sample is at its end, in its own scale."""
        shown_samples = [[*history] for history in self._history]
        for _ in range(2):  # a shorter past may have a shorter scale, never a longer sparkline
            scales = [_scale(values) for values in shown_samples]
            lows, highs = (max(map(len, bounds)) for bounds in zip(*scales, strict=True))
            graph = columns - lows - highs - 3
            if graph < _LEAST_GRAPH:
                return [[] for _ in self._history]
            shown_samples = [values[-graph:] for values in shown_samples]
        return [
            [
                Text(f"{low:>{lows}}", "dim"),
                Text(f"{sparkline(values):<{graph}}", "cyan"),
                Text(f"{high:<{highs}}", "dim"),
            ]
            for values, (low, high) in zip(shown_samples, map(_scale, shown_samples), strict=True)
        ]

    def _values_line(self, blamed: Collection[int]) -> Text:
        """The values, where there is no room for more of the sensors."""
        return Text(" ").join(
            Text(_latest(history) or "-", "bold red" if row in blamed else "bold")
            for row, history in enumerate(self._history)
        )

    def _prediction_word(self) -> tuple[str, str]:
        """The prediction and its style."""
        if self._prediction is None:
            return "none yet", "dim"
        return str(self._prediction.value), "bold red" if self._prediction.value else "green"

    def _prediction_place(self) -> str:
        if self._prediction is None:
            return ""
        return f"  sample {self._prediction.sample.id}, {self._rate_hz():.1f} a second"

    def _rate_hz(self) -> float:
        """Predictions a second, of late; it falls while none comes."""
        return len(self._arrivals_s) / max(self._clock.monotonic() - self._arrivals_s[0], 1e-3)

    def _wrapped(self, text: Text, rows: int) -> list[Text]:
        """The text, wrapped. If it does not fit, its last line ends with dots."""
        lines = [*text.wrap(self._console, self._console.width)]
        for each in lines:
            each.rstrip()
        if len(lines) > rows:
            lines[rows - 1 :] = [Text(" ").join(lines[rows - 1 :])] if rows else []
        return lines

    def _in_ansi(self, lines: Iterable[Text]) -> list[str]:
        with self._console.capture() as drawn:
            for each in lines:
                self._console.print(each, no_wrap=True, overflow="ellipsis")
        return drawn.get().splitlines()


def can_draw(stream: TextIO) -> bool:
    """Whether this is a terminal on which the view can be drawn."""
    try:
        _DRAWN_WITH.encode(stream.encoding)
    except UnicodeEncodeError:
        return False
    return stream.isatty() and os.environ.get("TERM", "") not in _DUMB


def blamed_in(reason: str) -> set[int]:
    """The indices of the sensors that a reason names as the cause of an alarm.

    One that it names with a small share, such as "sensor3 2%", is none.
    """
    return {index for index, share in named_in(reason) if share is None or share >= _LEAST_SHARE}


def sparkline(values: Sequence[float]) -> str:
    """Bars between the least and the greatest finite value; a dot for a failed reading."""
    finite = [value for value in values if math.isfinite(value)]
    low = min(finite, default=0.0)
    span = max(finite, default=0.0) - low
    top = len(_BARS) - 1
    return "".join(
        (_BARS[round((value - low) / span * top)] if span else _BARS[0])
        if math.isfinite(value)
        else _FAILED
        for value in values
    )


def _name(number: int, label: Label) -> str:
    """Its number as in the configuration, with the person's own name behind."""
    default = f"sensor{number}"
    return default if label.name == default else shown(f"{number} {label.name}")


def _style(state: State) -> str:
    if state.alarm_since_ns is not None:
        return "bold red"
    return "dim" if state.link is LinkState.STREAMING else "yellow"


def _latest(history: Sequence[float]) -> str:
    return f"{history[-1]:.5g}" if history else ""


def _scale(values: Sequence[float]) -> tuple[str, str]:
    """The bounds of a sparkline."""
    finite = [value for value in values if math.isfinite(value)]
    return (f"{min(finite):.3g}", f"{max(finite):.3g}") if finite else ("", "")


def _cut(text: str, columns: int) -> str:
    if cell_len(text) <= columns:
        return set_cell_size(text, columns)
    return set_cell_size(text, columns - 1) + "…"
