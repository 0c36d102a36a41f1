"""The live view: four sensors, the latest prediction and the link, on a terminal."""

import math
import time
from collections import deque
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.model import Prediction, Sample
from quartet.channels import CHANNELS
from quartet.clock import Clock
from quartet.foreign import shown

# More than a terminal is wide; it cuts the rest.
_MOST_IN_STATUS = 1000

_BARS = "▁▂▃▄▅▆▇█"
_FAILED = "·"
_WIDTH = 48  # samples in a sparkline: a terminal of 80 columns holds it with its numbers
_RATE_OVER = 256  # arrivals that the shown rate is measured over


class LiveView:
    """Shows predictions as they come; log entries scroll by above it. Loop only."""

    def __init__(self, title: str, clock: Clock = time) -> None:
        self._title = title
        self._clock = clock
        self._history: list[deque[float]] = [deque(maxlen=_WIDTH) for _ in range(CHANNELS)]
        self._sample: Sample | None = None
        self._prediction: Prediction | None = None
        self._arrivals_s: deque[float] = deque(maxlen=_RATE_OVER)
        self._live = Live(console=Console(stderr=True), auto_refresh=False, redirect_stdout=False)
        self._live.start()

    def emit(self, prediction: Prediction) -> None:
        """Take a prediction; it is shown at the next refresh."""
        self._prediction = prediction
        self._arrivals_s.append(self._clock.monotonic())

    def refresh(self, status: str, sample: Sample | None) -> None:
        """Draw the view, with the agent's state on a line, and the latest sample."""
        if sample is not None and sample is not self._sample:
            self._sample = sample
            for history, value in zip(self._history, sample.values, strict=True):
                history.append(value)
        self._live.update(self._render(status), refresh=True)

    def close(self) -> None:
        """Leave the view on the screen as it was drawn last."""
        self._live.stop()

    def __str__(self) -> str:
        return "the live view"

    def _render(self, status: str) -> Group:
        style = "dim" if status.startswith("streaming") else "yellow"
        return Group(
            Text.assemble(("quartet ", "bold"), shown(self._title)),
            self._render_sensors(),
            Text(shown(status, _MOST_IN_STATUS), style, no_wrap=True, overflow="ellipsis"),
        )

    def _render_sensors(self) -> Table:
        rows = Table.grid(padding=(0, 2, 0, 0))
        for channel, history in enumerate(self._history, 1):
            value = f"{history[-1]:>10.5g}" if history else ""
            rows.add_row(f"sensor{channel}", Text(value, "bold"), Text(sparkline(history), "cyan"))
        rows.add_row("prediction", *self._render_prediction())
        return rows

    def _render_prediction(self) -> tuple[Text, str]:
        if self._prediction is None:
            return Text(f"{'none yet':>10}", "dim"), ""
        value, sample_id = self._prediction.value, self._prediction.sample.id
        word = Text(f"{value!s:>10}", "bold red" if value else "green")
        return word, f"sample {sample_id}, {self._rate_hz():.1f} a second"

    def _rate_hz(self) -> float:
        """Predictions a second, of late; it falls while none comes."""
        return len(self._arrivals_s) / max(self._clock.monotonic() - self._arrivals_s[0], 1e-3)


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
