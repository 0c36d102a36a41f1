"""A broker without the fence: python -m chaos.fleet.unfenced run ...

A commit writes whatever its broker believes to own. With such brokers the torture run must fail.
"""

import re
import sys

from broker.__main__ import main
from broker.recorder.postgres.statement import LINES

FENCE = re.compile(
    r" AND lines\.epoch = given\.epoch AND lines\.head = given\.head"
    r"\s+AND lines\.owner = given\.owner"
)


def take_down() -> None:
    """Have the commits of this process look at neither epoch, head nor owner of a line."""
    sql, guards = FENCE.subn("", LINES.sql)
    assert guards == 1, "the fence is another one now: take that down"
    assert not re.search(r"lines\.(epoch|head|owner) = given", sql), "a guard is left"
    object.__setattr__(LINES, "sql", sql)


if __name__ == "__main__":
    take_down()
    sys.exit(main())
