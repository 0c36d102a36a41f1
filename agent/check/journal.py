"""The journal: whether predictions survive a reboot, and whether all of them get there."""

import re
from pathlib import Path

from agent.check.findings import Findings, failed, passed, skipped
from agent.check.host import Host, ask
from agent.errors import SinkError
from agent.logs import JournalHandler

_RUNNING = Path("/run/systemd/journal/socket")
_ON_DISK = Path("/var/log/journal")

# journald.conf(5)
_DEFAULTS = {"Storage": "auto", "RateLimitIntervalSec": "30s", "RateLimitBurst": "10000"}

_SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "ms": 1e-3, "min": 60.0, "m": 60.0, "h": 3600.0}

_PERSIST = (
    "sudo mkdir -p /etc/systemd/journald.conf.d && printf '[Journal]\\nStorage=persistent\\n' |"
    " sudo tee /etc/systemd/journald.conf.d/50-persistent.conf &&"
    " sudo systemctl restart systemd-journald"
)


def check_journal(rate_hz: float, host: Host) -> Findings:
    """Storage and rate limit, as the configuration of journald has them."""
    if not _RUNNING.exists():
        yield skipped("journal", "no journald here: predictions go to stderr")
        return
    settings = journald_settings(
        ask("systemd-analyze", "cat-config", "systemd/journald.conf") or ""
    )
    storage = settings["Storage"]
    if storage == "none":
        yield failed("journal", "Storage=none: nothing is kept", _PERSIST)
    elif storage == "persistent" or (storage == "auto" and _ON_DISK.is_dir()):
        yield passed("journal", "persistent")
    else:
        remedy = _PERSIST if host.is_pi else ""
        yield passed("journal", "in memory: predictions are lost at a reboot", remedy)
    yield from _check_rate(settings, rate_hz)
    try:
        JournalHandler()
    except SinkError as error:
        yield skipped("journal fields", "predictions go there as lines without fields", str(error))
    else:
        yield passed("journal fields", "SAMPLE_ID, PREDICTION and the others")


def _check_rate(settings: dict[str, str], rate_hz: float) -> Findings:
    interval_s, burst = (
        seconds(settings["RateLimitIntervalSec"]),
        _count(settings["RateLimitBurst"]),
    )
    if not interval_s or not burst:
        yield passed("journal rate limit", "none")
        return
    limit_hz = burst / interval_s
    detail = f"{limit_hz:.0f} entries a second; the predictions need {rate_hz:g}"
    if rate_hz < limit_hz:
        yield passed("journal rate limit", detail)
    else:
        yield failed(
            "journal rate limit",
            f"{detail}: some are dropped",
            'set LogRateLimitIntervalSec=0 in the unit, or journal.predictions = "changes"',
        )


def journald_settings(text: str) -> dict[str, str]:
    """The settings that count here: the last word of each, in files in their order."""
    found = re.findall(r"^[ \t]*(\w+)[ \t]*=(.*)", text, re.MULTILINE)
    words = {key: value.strip() for key, value in found if key in _DEFAULTS and value.strip()}
    return _DEFAULTS | words


def seconds(text: str) -> float:
    """A time span of systemd.time(7) with one unit; 30 where it has more than that."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", text)
    if not match or match[2] not in _SECONDS:
        return 30.0
    return float(match[1]) * _SECONDS[match[2]]


def _count(text: str) -> int:
    """A number of entries; the default where journald would not understand it either."""
    return int(text if text.isdecimal() else _DEFAULTS["RateLimitBurst"])
