"""Control groups of a machine's own, beside those of the host's services."""

from pathlib import Path

_MOUNTED = Path("/sys/fs/cgroup")


def make(name: str) -> list[Path]:
    """A group in each hierarchy that systemd needs: one, or two where cgroup v1 is in use."""
    pure = (_MOUNTED / "cgroup.controllers").exists()
    parents = [_MOUNTED] if pure else [_MOUNTED / "unified", _MOUNTED / "systemd"]
    groups = [parent / name for parent in parents]
    for group in groups:
        group.mkdir()
    return groups


def remove(groups: list[Path]) -> None:
    """Remove groups in which no process is left, and all below them."""
    for group in groups:
        if not group.exists():
            continue
        below = [path for path in group.rglob("*") if path.is_dir()]
        for path in sorted(below, key=lambda path: len(path.parts), reverse=True):
            path.rmdir()
        group.rmdir()
