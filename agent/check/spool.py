"""The spool: directories that exist, can be written, and have room."""

import os
import shutil
from pathlib import Path

from agent.check.findings import Finding, Findings, failed, passed, skipped
from agent.check.host import Host
from agent.config import Settings
from agent.spool.directories import DEFAULT, configured_directories
from quartet.inspection import is_hidden, is_of_service


def check_spool(settings: Settings, host: Host) -> Findings:
    """Both directories, as 'agent run' would take them from here."""
    directories = configured_directories(settings.spool)
    if directories is None and settings.is_simulated:
        yield skipped("spool", "a simulation uses a temporary one")
        return
    directories = directories or DEFAULT
    yield _check("spool in RAM", directories.hot, settings.spool.hot_max_bytes, host)
    yield _check("spool on disk", directories.cold, settings.spool.max_bytes, host)


def _check(name: str, directory: Path, max_bytes: int, host: Host) -> Finding:
    is_services = is_of_service(directory, "agent")
    is_there = os.path.isdir(directory)  # noqa: PTH112 - False also where nobody may look
    is_ours = os.access(directory, os.R_OK | os.W_OK | os.X_OK)
    if is_services and (is_hidden(directory) or (is_there and not is_ours)):
        return skipped(name, f"{directory} is for the service only", host.as_root)
    if not is_there:
        remedy = f"sudo install -d -o $USER {directory}"
        if is_services:
            detail = f"{directory} does not exist yet: systemd creates it for the service"
            return skipped(name, detail, f"without the service: {remedy}")
        return failed(name, f"{directory} is not a directory", remedy)
    if not is_ours:
        return failed(
            name, f"{directory} cannot be written by this user", f"sudo chown $USER {directory}"
        )
    free = shutil.disk_usage(directory).free
    detail = f"{directory}, {free / 1e6:.0f} MB free, may take {max_bytes / 1e6:.0f} MB"
    if free < max_bytes:
        return failed(name, detail, "free some space, or set a smaller limit in [spool]")
    return passed(name, detail)
