"""A picture of an evaluation. Needs matplotlib."""

import itertools
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from broker.errors import EvaluationError
from broker.evaluate.replay import Evaluation, Traces
from quartet.foreign import shown
from quartet.recording import Binding

_WIDTH_INCHES = 12.0
_PANEL_INCHES = 1.6
_ALARM = "#d62728"
_LEARNING = "#9a9a9a"
_FAULT = "#1f4e9c"
_ALPHA = 0.15

# Of the height of a panel: where a fault is marked, it hides nothing.
_FAULT_HEIGHT = 0.07

# An alarm may be a thousand limits high. Below this the axis is linear, and shows a zero.
_FAR = 12.0

_YEAR_NS = 365 * 86_400 * 10**9

# What fits beside the legend.
_MOST_IN_TITLE = 70

# What fits beside a panel: lines, and characters in each.
_LABEL_LINES = 3
_LABEL_CHARACTERS = 20


def plot(evaluation: Evaluation, traces: Traces, binding: Binding, path: Path) -> None:
    """Draw the channels, alarms shaded, and below them the statistics with their limits.

    The learning phase is shaded, too; a bar at the foot of each panel marks the known faults.
    Over time where each row has one, else over rows.

    EvaluationError where the file cannot be written.
    """
    sensors = [channel for channel, column in enumerate(binding.sensors) if column]
    panels = len(sensors) + len(traces.statistics)
    figure = Figure(figsize=(_WIDTH_INCHES, _PANEL_INCHES * panels), layout="constrained")
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    at = _axis(traces)
    for panel, channel in zip(axes, sensors, strict=False):
        panel.plot(at, traces.values[channel], linewidth=0.7)
        panel.set_ylabel(_label(binding, channel), fontsize="small", parse_math=False)
    for panel, (name, trace) in zip(axes[len(sensors) :], traces.statistics.items(), strict=True):
        rows, values, limits = trace
        told_at = [at[int(row)] for row in rows]
        panel.plot(told_at, values, linewidth=0.7)
        panel.plot(told_at, limits, color=_ALARM, linewidth=1.0, linestyle="--")
        if max(values) > _FAR * max(limits):
            panel.set_yscale("log")
        panel.set_ylabel(_wrapped(name), fontsize="small", parse_math=False)
    for panel in axes:
        _shade(panel, bytes([1]) * evaluation.learning_rows, at, _LEARNING)
        _shade(panel, evaluation.answers, at, _ALARM)
        _shade(panel, evaluation.truth or b"", at, _FAULT, alpha=1.0, height=_FAULT_HEIGHT)
    axes[-1].set_xlabel("row")
    if traces.has_times:
        _count_in_time(axes[-1], traces.times_ns[0])
    title = f"{Path(evaluation.source).name}, predictor {evaluation.predictor}"
    figure.suptitle(shown(title, _MOST_IN_TITLE), x=0.01, ha="left", parse_math=False)
    figure.legend(handles=_legend(evaluation, traces), loc="outside upper right", ncols=4)
    try:
        with mpl.rc_context({"agg.path.chunksize": 10_000}):  # else a long line is too much
            figure.savefig(path, dpi=110, format=path.suffix[1:] or "png")
    except (OSError, ValueError) as error:  # ValueError: of a kind that it cannot draw
        raise EvaluationError(f"{path}: cannot be written: {shown(error)}") from error


def _axis(traces: Traces) -> Sequence[float]:
    """Where each row stands: days since 1970, or its number."""
    if traces.has_times:
        return [at_ns / 86_400e9 for at_ns in traces.times_ns]
    return range(len(traces.times_ns))


def _count_in_time(panel: Axes, first_ns: int) -> None:
    """Write times below a panel. A clock that counts from a start has no date."""
    has_date = abs(first_ns) >= _YEAR_NS
    panel.xaxis_date()
    panel.xaxis.set_major_formatter(
        ConciseDateFormatter(panel.xaxis.get_major_locator(), show_offset=has_date)  # type: ignore[no-untyped-call]
    )
    panel.set_xlabel("time" if has_date else "time since the start")


def _label(binding: Binding, channel: int) -> str:
    sensor = binding.sensors[channel]
    if sensor is None or not sensor.name:
        return f"sensor{channel + 1}"
    return _wrapped(f"{sensor.plain_name} ({sensor.unit})" if sensor.unit else sensor.name)


def _wrapped(text: str) -> str:
    """On a few lines, and shorter where they do not suffice."""
    lines = textwrap.wrap(shown(text), _LABEL_CHARACTERS, max_lines=_LABEL_LINES, placeholder="…")
    return "\n".join(lines)


def _legend(evaluation: Evaluation, traces: Traces) -> list[Artist]:
    """What is drawn beside the values, and only that."""
    handles: list[Artist] = []
    if evaluation.learning_rows:
        handles.append(Patch(color=_LEARNING, alpha=_ALPHA, label="learning phase"))
    if any(evaluation.answers):
        handles.append(Patch(color=_ALARM, alpha=_ALPHA, label="predicted True"))
    if evaluation.truth and any(evaluation.truth):
        handles.append(Patch(color=_FAULT, label="known fault"))
    if traces.statistics:
        handles.append(Line2D([], [], color=_ALARM, linestyle="--", label="limit"))
    return handles


def _shade(
    panel: Axes,
    flags: bytes | bytearray,
    at: Sequence[float],
    color: str,
    *,
    alpha: float = _ALPHA,
    height: float = 1.0,
) -> None:
    """Mark the rows that are set, from the foot of the panel up to a share of its height."""
    row = 0
    for is_set, run in itertools.groupby(flags):
        first, row = row, row + len(list(run))
        if is_set:
            end = at[row] if row < len(at) else at[-1]
            panel.axvspan(at[first], end, ymax=height, color=color, alpha=alpha, linewidth=0)
