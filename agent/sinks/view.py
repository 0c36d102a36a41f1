"""The live view, where somebody can look at it."""

import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from quartet.clock import Clock
from quartet.distribution import to_install
from wire.sensors import Label

if TYPE_CHECKING:
    from agent.sinks.live import LiveView

log = logging.getLogger(__name__)


def open_view(title: str, labels: Sequence[Label | None], clock: Clock) -> "LiveView | None":
    """The live view, on a terminal that can draw it and where its library is installed."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    try:
        from agent.sinks.live import LiveView, can_draw  # noqa: PLC0415 - optional
    except ImportError:
        log.info("no rich, which shows a live view here: %s", to_install("live"))
        return None
    return LiveView(title, labels, sys.stderr, clock) if can_draw(sys.stderr) else None
