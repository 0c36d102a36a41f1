"""Control groups of a machine's own, beside those of the host's services."""

import time
from pathlib import Path

_MOUNTED = Path("/sys/fs/cgroup")
_LAST_S = 10  # what was killed is gone in a moment


def make(name: str) -> list[Path]:
    """A group in each hierarchy that systemd needs: one, or two where cgroup v1 is in use."""
    pure = (_MOUNTED / "cgroup.controllers").exists()
    parents = [_MOUNTED] if pure else [_MOUNTED / "unified", _MOUNTED / "systemd"]
    groups = [parent / name for parent in parents]
    for group in groups:
        group.mkdir()
    return groups


def freeze(groups: list[Path]) -> None:
    """Have no process in them do anything any more, from when this returns on."""
    unified = next(group for group in groups if (group / "cgroup.freeze").exists())
    (unified / "cgroup.freeze").write_text("1")
    deadline_s = time.monotonic() + _LAST_S
    while "frozen 1" not in (unified / "cgroup.events").read_text():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"processes still run in {unified}")
        time.sleep(0.05)


def kill(groups: list[Path]) -> None:
    """Kill every process in them, and no other; one hierarchy can, with Linux 5.14."""
    for group in groups:
        if (group / "cgroup.kill").exists():
            (group / "cgroup.kill").write_text("1")


def remove(groups: list[Path]) -> None:
    """Remove groups, all below them, and the processes that are left there."""
    kill(groups)
    deadline_s = time.monotonic() + _LAST_S
    for group in groups:
        while any(procs.read_text() for procs in group.rglob("cgroup.procs")):
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"processes are left in {group}")
            time.sleep(0.05)
        below = [path for path in group.rglob("*") if path.is_dir()]
        for path in sorted(below, key=lambda path: len(path.parts), reverse=True):
            path.rmdir()
        group.rmdir()
