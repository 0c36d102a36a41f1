"""What agents, broker and the agents' clocks are told, in files and in the environment."""

import json
from collections.abc import Sequence
from pathlib import Path

RATES_HZ = {"press-1": 40, "press-2": 80, "press-3": 130}
"""The agents. Together fast enough for 20,000 samples in minutes, and slow enough for one core
to be idle at times."""


def spool_toml(hot: Path, cold: Path) -> str:
    """The part of agent.toml that names the spool."""
    return f"""[spool]
hot_directory = "{hot}"
directory = "{cold}"
spill_after_s = 0.5
"""


def agent_toml(
    agent_id: str, addresses: Sequence[str], rate_hz: float, hot: Path, cold: Path
) -> str:
    """Short times, so that an outage of seconds is a long one."""
    return f"""[agent]
id = "{agent_id}"
[broker]
address = {json.dumps(addresses)}
[sampling]
rate_hz = {rate_hz}
[link]
reply_deadline_s = 1.0
backoff_min_s = 0.05
backoff_max_s = 0.3
{spool_toml(hot, cold)}"""


def broker_toml(port: int, store: Path, predictor: str, max_bytes: int) -> str:
    """A black box without snapshots is brought back by all samples that there ever were."""
    return f"""[listen]
address = "127.0.0.1:{port}"
[predictor]
use = "{predictor}"
[recorder]
path = "{store}"
max_bytes = {max_bytes}
replay = 1000000000
"""


def faked_time(library: Path, clock: Path) -> dict[str, str]:
    """What has a process take its wall clock's offset from a file, and leaves monotonic time."""
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        # To look at the file at every call would cost more than the agent itself.
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # Its remedy for an old C library has timed waits come back at once, again and again.
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        "NO_FAKE_STAT": "1",
    }
