"""What an outage leaves in a spool."""

import contextlib
from pathlib import Path

from agent.model import Sample, Session
from agent.spool.account import Account
from agent.spool.directories import FILE
from agent.spool.row import pack
from agent.spool.tier import Tier

VALUES = (0.05, 0.06, 0.07, 0.08)
"""Of each sample; healthy, so that a log of changes stays silent."""


def fill(directory: Path, count: int) -> int:
    """Write the cold tier of a spool in which so many samples wait; the size of its file."""
    session = Session(1, "0" * 32, 0, 0)
    path = directory / FILE
    with contextlib.closing(Tier(path, "normal")) as tier:
        rows = (pack(Sample(session, number, VALUES, number)) for number in range(count))
        tier.write(sessions=[(session, Account(sampled=count, ended=True))], rows=rows)
    return path.stat().st_size
