"""The agent as it is, with its log of predictions also in a file: python -m chaos.logged_agent.

The entries are those that journald would get, a line each, written at once: a
killed process loses none that it logged. Each begins with the number of the agent's
start, and with the monotonic time in ns, which all processes of a machine share and
no fault steps.
"""

import logging
import os
import sys
import time

from agent.__main__ import main

LOGBOOK = "CHAOS_LOGBOOK"
"""The variable that names the file."""

START = "CHAOS_START"
"""The variable that tells how many processes have had the agent's part, this one among them."""

FIELDS = ("SESSION_ID", "SAMPLE_ID", "PREDICTION", "SAMPLED_AT", "ROUND_TRIP_US")


class Logbook(logging.Handler):
    """Appends a line for each prediction."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._start = os.environ[START]

    def emit(self, record: logging.LogRecord) -> None:
        fields = record.journal_fields  # type: ignore[attr-defined]
        values = (self._start, str(time.monotonic_ns()), *(fields[name] for name in FIELDS))
        os.write(self._file, (",".join(values) + "\n").encode())


if __name__ == "__main__":
    predictions = logging.getLogger("agent.predictions")
    predictions.addHandler(Logbook(os.environ[LOGBOOK]))
    predictions.propagate = False  # not a second time on stderr, which is read for errors
    sys.exit(main())
