"""How long a test waits for what must come."""

import time
from collections.abc import Callable

# No machine that works is this slow, however busy; and a wait that fails says what it waited for
# before pytest's own limit ends the test.
PATIENCE_S = 120.0


def until(holds: Callable[[], bool]) -> None:
    """Return once it holds; for what tells nobody when it changes."""
    end_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end_s, "it does not come"
        time.sleep(0.05)
