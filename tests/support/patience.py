"""How long a test waits for what must come."""

# No machine that works is this slow, however busy; and a wait that fails says what it waited for
# before pytest's own limit ends the test.
PATIENCE_S = 120.0
