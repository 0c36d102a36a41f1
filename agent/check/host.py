"""The machine: model, system, Python, packages, clock."""

import os
import platform
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from agent.check.findings import Findings, failed, passed, skipped
from agent.instance import Instance
from quartet.clock import Clock, utc, was_set
from quartet.distribution import NAME, to_install

_MODEL = Path("/proc/device-tree/model")
_RTC = Path("/sys/class/rtc/rtc0")

# Of a command that asks systemd: three of them, and all else, are to be done within 10 s.
_ASK_S = 2.0

_NEEDED = (NAME, "grpcio", "protobuf", "msgspec")
_FOR_SENSORS = ("adafruit-circuitpython-ads1x15", "adafruit-extended-bus")
_OPTIONAL = ("cryptography", "gpiozero", "lgpio", "systemd-python", "rich")


@dataclass(frozen=True, slots=True)
class Host:
    """What this machine is, as far as advice depends on it."""

    is_pi: bool
    running_agent: str
    """What the service says of itself while it runs; empty where it does not."""
    instance: Instance = field(default_factory=Instance)
    """Which agent of this machine is meant."""

    @classmethod
    def look(cls, instance: Instance) -> "Host":
        """This machine, for one of its agents."""
        text = ask("systemctl", "show", "--property=ActiveState,StatusText", instance.unit) or ""
        shown = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        is_active = shown.get("ActiveState") == "active"
        says = shown.get("StatusText", "") if is_active else ""
        return cls("Raspberry Pi" in _model(), says, instance)

    @property
    def as_root(self) -> str:
        """The command that checks with the rights of root."""
        return f"sudo {self.instance.command('check')}"


def check_machine() -> Findings:
    """Model, system and Python."""
    if model := _model():
        yield passed("model", model)
    else:
        yield skipped("model", f"not a Raspberry Pi ({platform.machine()})")
    bits = struct.calcsize("P") * 8
    name = _os_name()
    if bits < 64:
        yield passed(
            "system", f"{name}, {bits} bit", "install a 64-bit system, which has tested packages"
        )
    else:
        yield passed("system", f"{name}, {bits} bit")
    yield passed("Python", f"{platform.python_version()} in {sys.prefix}")


def check_packages(*, sensors: bool) -> Findings:
    """Versions, and what is missing."""
    needed = _NEEDED + (_FOR_SENSORS if sensors else ())
    versions = {name: _version(name) for name in (*needed, *_OPTIONAL)}
    detail = ", ".join(f"{name} {found}" for name, found in versions.items() if found)
    if missing := [name for name in needed if not versions[name]]:
        yield failed("packages", f"missing: {', '.join(missing)}", to_install("pi"))
    else:
        yield passed("packages", detail)


def check_clock(clock: Clock, host: Host) -> Findings:
    """Whether stamps can be believed."""
    now = utc(clock)
    if not was_set(now):
        yield failed("clock", f"the clock says {now:%Y-%m-%d}", "sudo timedatectl set-ntp true")
    else:
        yield from _check_synchronised()
    if _RTC.exists():
        yield passed("real-time clock", (_RTC / "name").read_text().strip())
    elif host.is_pi:
        yield skipped(
            "real-time clock",
            "none: after a power cut, time stamps are wrong until the network sets the clock",
        )


def _check_synchronised() -> Findings:
    answer = ask("timedatectl", "show", "--property=NTPSynchronized", "--value")
    if answer is None:
        yield skipped("clock", "timedatectl does not answer here")
    elif answer.strip() == "yes":
        yield passed("clock", "synchronised")
    else:
        yield failed("clock", "not synchronised", "sudo timedatectl set-ntp true")


def ask(*command: str) -> str | None:
    """What a command prints; None where it is missing or fails."""
    path = shutil.which(command[0])
    if path is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            [path, *command[1:]],
            capture_output=True,
            text=True,
            timeout=_ASK_S,
            check=True,
            env={**os.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _model() -> str:
    return _MODEL.read_text("utf-8", "replace").rstrip("\0\n") if _MODEL.exists() else ""


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
