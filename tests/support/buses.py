"""A bus that no machine has, so that a test means no chip of this one."""

import os

# Its locks are for all users: tests that run at the same time have another number.
NO_BUS = 100 + os.getpid() % 150
