"""A picture of an evaluation. Needs matplotlib."""

import itertools
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from broker.errors import EvaluationError
from broker.evaluate.replay import Evaluation, Traces
from quartet.foreign import shown

_WIDTH_INCHES = 12.0
_PANEL_INCHES = 1.6
_ALARM = "#d62728"


def plot(evaluation: Evaluation, traces: Traces, path: Path) -> None:
    """Draw the channels, alarms shaded, and below them the statistics with their limits.

    EvaluationError where the file cannot be written.
    """
    panels = len(traces.values) + len(traces.statistics)
    figure = Figure(figsize=(_WIDTH_INCHES, _PANEL_INCHES * panels), layout="constrained")
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    rows = range(len(evaluation.answers))
    for number, (panel, values) in enumerate(zip(axes, traces.values, strict=False), 1):
        panel.plot(rows, values, linewidth=0.7)
        panel.set_ylabel(f"sensor{number}")
    for panel, (name, trace) in zip(
        axes[len(traces.values) :], traces.statistics.items(), strict=True
    ):
        at, values, limits = trace
        panel.plot(at, values, linewidth=0.7)
        panel.plot(at, limits, color=_ALARM, linewidth=1.0, linestyle="--", label="limit")
        panel.set_yscale("log")
        panel.set_ylabel(shown(name), parse_math=False)
        panel.legend(loc="upper left")
    for panel in axes:
        _shade(panel, evaluation.answers)
    axes[-1].set_xlabel("row")
    title = shown(f"{evaluation.path.name}, predictor {evaluation.predictor}")
    figure.suptitle(title, parse_math=False)
    try:
        with mpl.rc_context({"agg.path.chunksize": 10_000}):  # else a long line is too much
            figure.savefig(path, dpi=110, format=path.suffix[1:] or "png")
    except (OSError, ValueError) as error:  # ValueError: of a kind that it cannot draw
        raise EvaluationError(f"{path}: cannot be written: {shown(error)}") from error


def _shade(panel: Axes, answers: bytearray) -> None:
    """Mark the rows that were True."""
    row = 0
    for answer, run in itertools.groupby(answers):
        length = len(list(run))
        if answer:
            panel.axvspan(row - 0.5, row + length - 0.5, color=_ALARM, alpha=0.15, linewidth=0)
        row += length
