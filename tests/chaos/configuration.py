"""What agent, broker and the agent's clock are told, in files and in the environment."""

from pathlib import Path

RATE_HZ = 250
"""Fast enough for 20,000 samples in minutes, and slow enough for one core to be idle at times."""


def spool_toml(hot: Path, cold: Path) -> str:
    """The part of agent.toml that names the spool."""
    return f"""[spool]
hot_directory = "{hot}"
directory = "{cold}"
spill_after_s = 0.5
"""


def agent_toml(port: int, hot: Path, cold: Path) -> str:
    """Short times, so that an outage of seconds is a long one."""
    return f"""[agent]
id = "press-4"
[broker]
address = "127.0.0.1:{port}"
[sampling]
rate_hz = {RATE_HZ}
[link]
reply_deadline_s = 1.0
backoff_min_s = 0.05
backoff_max_s = 0.3
{spool_toml(hot, cold)}"""


def broker_toml(port: int, store: Path, *, snapshots: bool) -> str:
    """Without snapshots a black box is brought back by all samples that there ever were."""
    return f"""[listen]
address = "127.0.0.1:{port}"
[predictor]
use = "chaos.predictors:{"Remembering" if snapshots else "Forgetful"}"
[recorder]
path = "{store}"
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
