"""Predictions for sinks, and what loggers say of them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import strategies as st

from agent.model import Prediction, Sample, Session
from quartet.channels import Values
from wire import MAX_ID

SESSION = Session(1, "0123456789abcdef" * 2, 100_000_000, 0)
NOON_NS = 1_714_564_800_000_000_000  # 2024-05-01 12:00 UTC

float32s = st.floats(width=32)
predictions = st.builds(
    Prediction,
    st.builds(
        Sample,
        st.just(SESSION),
        st.integers(0, MAX_ID),
        st.tuples(*[float32s] * 4),
        st.integers(0, 2**62),
    ),
    st.booleans(),
    st.integers(0, 10**12),
)


def prediction(
    id_: int = 0, value: bool = False, values: Values = (0.1, 0.2, 0.3, 0.4)
) -> Prediction:
    return Prediction(Sample(SESSION, id_, values, NOON_NS), value, 1_234_567)


class Kept(logging.Handler):
    """A handler that keeps its records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def kept_records(name: str) -> Iterator[list[logging.LogRecord]]:
    """The records of a logger, whatever others do with them."""
    logger, handler = logging.getLogger(name), Kept()
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield handler.records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
