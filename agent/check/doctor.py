"""All checks in their order, printed as they come."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from agent.check.broker import MOST_S, check_brokers
from agent.check.chip import check_chip
from agent.check.findings import Finding, Findings, Outcome, failed, passed, skipped
from agent.check.host import Host, check_clock, check_machine, check_packages
from agent.check.journal import check_journal
from agent.check.mqtt import check_mqtt
from agent.check.neighbours import check_neighbours
from agent.check.outputs import check_outputs
from agent.check.spool import check_spool
from agent.clock import WaitableClock
from agent.config import Settings, check
from agent.config.source import Ads1115Settings, ReplaySettings
from agent.instance import Instance
from quartet.address import Address
from quartet.clock import Clock
from quartet.distribution import to_install
from quartet.errors import SettingsError
from quartet.foreign import in_lines, shown

_WIDTH = 20

# All of a command that is to be typed.
_MOST_IN_REMEDY = 2000

# Of the 10 s that all checks may take: the start of the program and the last second of the
# brokers' check are in the rest.
_MOST_S = 8.0

# The brokers are asked for so long at least, however slow all else was.
_LEAST_FOR_BROKERS_S = 2.0

_INDENT = " " * (8 + _WIDTH)


def run(
    settings: Settings | SettingsError,
    path: Path | None,
    instance: Instance,
    clock: WaitableClock,
    *,
    as_json: bool,
) -> int:
    """Print a line for each check; 1 where one failed, else 0.

    With an error in place of settings, what needs none is checked all the same.
    """
    until_s = clock.monotonic() + _MOST_S
    host = Host.look(instance)
    findings = _told(_findings(settings, path, clock, host, until_s), quiet=as_json)
    if as_json:
        print(json.dumps([_plain(finding) for finding in findings], indent=1))
    failures = sum(finding.outcome is Outcome.FAILED for finding in findings)
    if failures and not as_json:
        print(f"{failures} of {len(findings)} checks failed")
    return 1 if failures else 0


def _findings(
    settings: Settings | SettingsError,
    path: Path | None,
    clock: WaitableClock,
    host: Host,
    until_s: float,
) -> Findings:
    yield from check_machine()
    if not host.is_pi and path is None and isinstance(settings, Settings) and not settings.source:
        yield from _check_laptop(clock, host)
        return
    try:
        if isinstance(settings, SettingsError):
            raise settings
        settings = _with_source(settings)
        check(settings)
    except SettingsError as error:
        remedy = f"correct {path}" if path else "correct it"
        yield failed(
            "configuration", str(error), f"{remedy}: 'agent config --example' has all keys"
        )
        yield from check_packages(sensors=False)
        yield from check_clock(clock, host)
        yield skipped("everything else", "needs a valid configuration")
        return
    source = settings.chosen_source()
    yield passed("configuration", f"{path or 'defaults'}: agent {settings.agent.device_id}")
    yield from check_packages(sensors=isinstance(source, Ads1115Settings))
    yield from check_clock(clock, host)
    if isinstance(source, ReplaySettings):
        yield _check_file(source)
    else:
        yield from check_chip(settings, source, clock, host)
    yield from check_neighbours(settings, host.instance)
    yield from check_outputs(settings.outputs, host)
    yield from check_mqtt(settings.outputs.mqtt, settings.agent.device_id, host)
    yield from check_journal(_entries_hz(settings), host)
    yield from check_spool(settings, host)
    trust = list(_check_trust(settings, clock, host))
    yield from trust
    if any(finding.outcome is Outcome.FAILED for finding in trust):
        yield skipped("broker", "needs valid certificates")
        return
    brokers = settings.broker.addresses
    if any(finding.check == "tls.key" for finding in trust):  # which only the service can read
        yield _check_broker_by_agent(brokers, host)
    else:
        yield from check_brokers(settings, most_s=for_brokers(until_s - clock.monotonic()))


def for_brokers(left_s: float) -> float:
    """Of the time that is left for all checks, the seconds in which the brokers are asked."""
    return min(MOST_S, max(_LEAST_FOR_BROKERS_S, left_s))


def _check_laptop(clock: Clock, host: Host) -> Findings:
    """A computer on which nothing is configured: no sensors are expected."""
    yield from check_packages(sensors=False)
    yield from check_clock(clock, host)
    yield skipped(
        "sensors",
        "no configuration, and not a Raspberry Pi",
        "agent check --virtual (a simulated chip), or agent check --config FILE",
    )


def _check_broker_by_agent(brokers: Sequence[Address], host: Host) -> Finding:
    """Without the key, the running agent alone knows; of several, it streams to one only."""
    address = ", ".join(map(str, brokers))
    if len(brokers) == 1 and host.running_agent.startswith("streaming"):
        return passed("broker", f"{address}: the running agent says: {host.running_agent}")
    says = f"; the running agent says: {host.running_agent}" if host.running_agent else ""
    detail = f"{address} needs the key, which is for the service only{says}"
    return skipped("broker", detail, host.as_root)


def _check_trust(settings: Settings, clock: Clock, host: Host) -> Findings:
    if settings.tls is None:
        yield skipped("certificates", "there is no [tls]")
        return
    try:
        from agent.check.certificates import check_certificates  # noqa: PLC0415 - costs 20 MB
    except ImportError as error:
        yield failed("certificates", f"{error.name} is missing", to_install("tls"))
        return
    yield from check_certificates(settings.tls, settings.agent.device_id, clock, host)


def _entries_hz(settings: Settings) -> float:
    """How many entries a second are expected in the journal."""
    rate_hz = settings.sampling.rate_hz
    return 0.0 if isinstance(rate_hz, str) or settings.journal.predictions == "changes" else rate_hz


def _with_source(settings: Settings) -> Settings:
    """Who has configured nothing yet wants to know of the chip."""
    if settings.source:
        return settings
    return settings.with_source(Ads1115Settings())


def _check_file(source: ReplaySettings) -> Finding:
    if os.path.isfile(source.path):  # noqa: PTH113 - False also where nobody may look
        return passed("source", f"replays {source.path}; no chip is read")
    return failed("source", f"{source.path} is not a file", "set source.path")


def _told(findings: Findings, *, quiet: bool) -> list[Finding]:
    """All of them; each is printed as it comes, unless `quiet`: some take their time."""
    told = []
    for finding in findings:
        told.append(finding)
        if not quiet:
            detail = in_lines(finding.detail, _INDENT)
            print(f"{finding.outcome:8}{finding.check:{_WIDTH - 1}} {detail}", flush=True)
            if finding.remedy:
                print(f"{_INDENT}-> {shown(finding.remedy, _MOST_IN_REMEDY)}", flush=True)
    return told


def _plain(finding: Finding) -> dict[str, str]:
    return {
        "check": finding.check,
        "outcome": finding.outcome,
        "detail": finding.detail,
        "remedy": finding.remedy,
    }
